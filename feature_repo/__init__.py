"""Feast definitions: one feature view a file, one FeatureService a model contract."""
