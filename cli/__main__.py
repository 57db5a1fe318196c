"""`python -m cli` is `steca`, where the package is not installed."""

from cli.main import app

app(prog_name="steca")
