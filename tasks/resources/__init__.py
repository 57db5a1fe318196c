"""What the work of a run needs: the data folder, the world, policies, reflectors, API keys."""
