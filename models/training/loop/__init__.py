"""The training loop: the Trainer with our order of items, checks for divergence, and states to resume from."""
