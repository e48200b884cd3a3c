"""Latency and throughput of the served models."""
