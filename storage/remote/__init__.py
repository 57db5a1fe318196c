"""A data folder on an object store: a folder of this machine that is kept in step with a URL."""
