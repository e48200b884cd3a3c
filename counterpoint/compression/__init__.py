"""Smaller forms of the item encoder, served only if they rank new items as the original does.

Methods, one file each: ``layers``, ``vocabulary``, ``fp16``, ``int8``, ``int8_blocks``. They
combine to variants (variants.py), are judged on what the served encoder is used for (new_items.py
and neighbours.py), and accepted or refused by gate.py. Imports nothing heavy by itself.
"""
