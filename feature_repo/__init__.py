"""Feast definitions: entities, sources, one feature view a file, one FeatureService a model contract."""
