"""Extension point: one training objective a file."""
