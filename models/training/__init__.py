"""Training: examples, losses, order, states, adapters, one or several processes."""
