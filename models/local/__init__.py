"""The policy in this process: transformers with keys and values kept from turn to turn, and the small model."""
