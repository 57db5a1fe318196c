"""Formats to look at and to analyse: tables, traces, verdicts."""
