"""KFP wrappers, one file a stage: import, validate the configuration, run, log artifacts."""
