"""What each stage does, without Prefect: which batches it runs, from what, within which budget."""
