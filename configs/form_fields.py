"""The settings that people change most, by the names that a form gives them."""

FIELDS = {
    "seed": "seed",
    "rounds": "rounds",
    "demonstrations": "tasks.demonstrations",
    "exploration": "tasks.exploration",
    "seen": "tasks.seen",
    "unseen": "tasks.unseen",
    "preset": "deviation.preset",
    "threshold": "deviation.delta",
    "mode": "rewards.mode",
    "budget_rollouts": "budget.rollouts",
    "budget_minutes": "budget.minutes",
}
"""By field of the form, the setting that it stands for."""
