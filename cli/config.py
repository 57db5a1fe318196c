"""`steca config`: a configuration with all its settings."""

from __future__ import annotations

import typer
import yaml

from configs.schema import FactoryConfig


def print_config(config: FactoryConfig) -> None:
    """Print a configuration as YAML that can be loaded again."""
    settings = config.model_dump(mode="json")
    typer.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)
