"""Playing episodes of a policy in a world, and the stages' work on one batch of tasks: records in, records out."""
