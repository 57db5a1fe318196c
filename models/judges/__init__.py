"""A language model as step judge: it says GOOD or BAD of a turn."""
