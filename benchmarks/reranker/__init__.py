"""Is a second look at the best items worth it, and what does it cost?"""
