"""Playing episodes (policy x world) and the stages' work on one batch of tasks: records in, records out."""
