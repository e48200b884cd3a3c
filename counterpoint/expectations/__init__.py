"""Great Expectations suites as code, one per canonical table, and the quarantine."""
