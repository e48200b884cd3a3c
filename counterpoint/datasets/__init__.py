"""Extension point: one source of data a file; load(config, ...) -> Tables."""
