"""Negatives and augmentations."""
