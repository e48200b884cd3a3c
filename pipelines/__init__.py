"""Wiring: pipelines, runners and the command line."""
