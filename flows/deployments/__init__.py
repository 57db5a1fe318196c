"""What the Prefect UI offers: deployments, their forms, and what only runs that were started there need."""
