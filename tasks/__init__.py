"""Cached Prefect tasks: one batch of a stage each. They fetch inputs by reference, call `rollouts`, and write."""
