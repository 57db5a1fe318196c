"""The world `alfworld`: the official games on disk and their recorded expert runs."""
