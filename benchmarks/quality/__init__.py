"""Ranking quality of the model beside strong baselines in the same run: one command, one table."""
