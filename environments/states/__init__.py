"""States of episodes as values: taken from snapshots, or from replayed histories."""
