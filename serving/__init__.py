"""Triton: served models, model repository, registry, local server and client."""
