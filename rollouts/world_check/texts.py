"""Check of the length of texts: what a policy has to read."""

from __future__ import annotations

from collections.abc import Iterator

from rollouts.prompting import briefing_of
from rollouts.world_check.finding import Finding, Sample

CHARACTERS = 4
"""So many characters are taken for one token: about right for English."""
TURNS = 3
"""So many turns have to fit after the first observation."""


def check_texts(sample: Sample) -> Iterator[Finding]:
    """The longest first observation and the longest observation, and whether the first one leaves room for turns."""
    name, policy = "longest text", sample.policy
    runs = [run.trajectory for run in sample.runs.values()]
    if not runs:
        yield Finding(name, "not there", "no run was played")
        return
    first = max(len(run.first_observation) for run in runs)
    later = max((len(step.observation) for run in runs for step in run.steps), default=0)
    told = f"first observation {first:,} characters, later ones {later:,}"
    if policy is None or policy.base is not None:  # another model: it has a context of its own
        yield Finding(name, "ok", told)
        return
    prompt = max(len(briefing_of(sample.world, task, policy.prompt)) for task in sample.tasks)
    tokens = (prompt + first) // CHARACTERS + TURNS * policy.max_turn_tokens
    if tokens <= policy.small.context:
        yield Finding(name, "ok", told)
        return
    begun = f"the prompt (policy.prompt: {policy.prompt}), the first" if prompt else "the first"
    yield Finding(
        name,
        "note",
        f"{told}: {begun} observation and {TURNS} turns are about {tokens:,} tokens ({CHARACTERS} characters each), "
        f"and policy.small.context is {policy.small.context:,}: raise it, or shorten what reset returns",
    )
