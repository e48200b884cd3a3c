"""Ranking quality of the model beside the baselines on MovieLens-100K: one command, one table."""
