"""Feast definitions: one feature view a file, one FeatureService a model contract.

Importing the package does not import Feast; its modules do.
"""
