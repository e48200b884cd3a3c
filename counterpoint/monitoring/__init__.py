"""What changed since the champion was trained, how sure that is, and what to do about it."""
