"""Extension point: one baseline recommender a file."""
