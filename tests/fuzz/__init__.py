"""Made-up inputs for every boundary: none ends in a traceback, none hangs. `python -m tests.fuzz` tries many."""
