"""The experts: one explores with what the agent has seen, one plans with the hidden state in view."""
