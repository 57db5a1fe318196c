"""Adds the tools to a briefing, where turns are calls of tools."""

from __future__ import annotations

import json

from configs.environment import EnvironmentConfig
from environments.base import World
from environments.capabilities import HasTools
from steca.action_formats import ACT_TOOL


def told(briefing: str, world: World, config: EnvironmentConfig) -> str:
    """A briefing, with the tools of the world after it if turns are calls of tools."""
    if config.action_format != "tool_call":
        return briefing
    tools = world.tools() if isinstance(world, HasTools) else [ACT_TOOL]
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    return f"{briefing}\n\nThe tools:\n{lines}"
