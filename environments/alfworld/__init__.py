"""ALFWorld: the rules, the official games, a generator of new ones, and an expert."""
