"""What a stage tells while it runs: lines, progress bars, events."""
