"""Wrong requests, generated from a seed."""
