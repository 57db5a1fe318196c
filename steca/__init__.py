"""The STeCa method (arXiv 2502.14276) as pure, typed functions: no I/O, no Prefect, no torch, no DuckDB."""
