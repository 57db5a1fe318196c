"""Training in several processes: starting them, and what each one runs."""
