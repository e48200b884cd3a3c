"""Rules of a request, one a file: filters, boosts, caps, diversity, exploration.

A rule is a module with ``ORDER`` (rules run in ascending order) and ``parse(options) -> Rule``; its
name is the key in a request's ``rules``. Runs inside Triton: standard library and numpy only.
"""
