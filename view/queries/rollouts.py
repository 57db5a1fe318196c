"""The rollouts behind step rewards."""

from __future__ import annotations

from view.published import Published, Row

ROLLOUTS = """
SELECT step_reward_id, rollout_id, sample_index, seed, temperature, top_p, checkpoint, outcome, progress, n_steps,
    tokens, end_reason, actions, first_turn
FROM distinct_rollouts WHERE list_contains($ids, step_reward_id) ORDER BY step_reward_id, sample_index
"""


def rollouts(published: Published, *step_rewards: str) -> list[Row]:
    """All rollouts of step rewards, those of each in the order of their sampling. Raises StorageFault."""
    return published.rows(ROLLOUTS, ids=list(step_rewards))
