"""`python -m flows` is `steca`, where the package is not installed."""

from flows.cli import app

app(prog_name="steca")
