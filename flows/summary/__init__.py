"""What came out of a run, from the published store: tables that the command line and the Prefect UI show alike."""
