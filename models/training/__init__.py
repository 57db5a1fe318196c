"""Trains: `train.py` is the entry, the rooms hold what is minimised, the training loop, and several processes."""
