"""Extension point: one served model a file."""
