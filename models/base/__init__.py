"""Checks of a base model before anything starts, without loading its weights."""
