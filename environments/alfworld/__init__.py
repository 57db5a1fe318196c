"""ALFWorld: the rules, the official games, a generator of new games, and experts."""
