"""The packages of the project, the upper ones first, and what each may import."""

from __future__ import annotations

BELOW = {
    "cli": {
        *(
            "view",
            "flows",
            "tasks",
            "formats",
            "rollouts",
            "environments",
            "models",
            "storage",
            "configs",
            "steca",
        ),
    },
    "view": {"flows", "formats", "rollouts", "environments", "models", "storage", "configs", "steca"},
    "flows": {"tasks", "formats", "rollouts", "environments", "models", "storage", "configs", "steca"},
    "tasks": {"rollouts", "environments", "models", "storage", "configs", "steca"},
    "formats": {"rollouts", "environments", "models", "storage", "configs", "steca"},
    "rollouts": {"environments", "models", "storage", "configs", "steca"},
    "environments": {"configs", "steca"},
    "models": {"configs", "steca"},
    "storage": {"configs", "steca"},
    "configs": {"steca"},
    "steca": set(),
}
"""For each package, the project's packages that it may import."""
