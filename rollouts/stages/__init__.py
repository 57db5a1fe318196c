"""Each stage's work on one batch of tasks: records in, records out."""
