"""Parts of the serving benchmark; a new one is a new file (benchmarks/serving/part.py)."""
