"""One command of the command line a file; ``register`` adds it to the application."""
