"""Extension point: one ranking metric a file."""
