"""Behaviour as text: a language model reads a history beside a candidate, a small head imitates it.

``reader`` is the teacher (one pass of the language model for each pair), ``student`` what serves
(no language model at all). ``fit`` trains both and chooses the student's weight on validation.
"""
