"""Runs that others have recorded, brought in: read, matched to tasks, played, and written as demonstrations."""
