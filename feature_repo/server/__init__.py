"""The feature server: Feast's own, and what serving needs beside it (docs/features.md).

``python -m feature_repo.server`` starts it. Importing the package does not import Feast.
"""
