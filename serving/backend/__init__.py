"""What Triton's Python backend loads."""
