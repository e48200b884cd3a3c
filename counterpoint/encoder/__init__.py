"""The language model: text in, vectors out."""
