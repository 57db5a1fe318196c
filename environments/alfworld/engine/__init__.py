"""The rules of ALFWorld's games: PDDL and grammar read, compiled and played."""
