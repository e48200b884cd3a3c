"""Great Expectations suites of the canonical tables, as code, and what follows from their results.

A suite module has ``rows`` (rules every row must keep; a broken one of severity ``critical`` sends
the row to quarantine, ``warning`` only counts it), ``table`` (rules of the whole table, asked of a
one-row profile) and, where rules need helper columns, ``derive``.
"""
