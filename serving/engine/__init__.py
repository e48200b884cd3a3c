"""What answers inside the front: versions, routing, shadow (standard library and numpy only)."""
