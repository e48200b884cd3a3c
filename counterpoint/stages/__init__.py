"""One file a stage, each ``run(config, *, inputs, outputs) -> result``; the only place of logic.

Order: ingest, validate, features, train, evaluate, gate, export, (deploy: serving/), monitor.
"""
