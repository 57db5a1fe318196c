"""Policies that write turns, reflectors that write reflective thoughts, and training."""
