"""Formats that trainers read, one file a family."""
