"""Measurements of quality, serving and cost; apart from the tests."""
