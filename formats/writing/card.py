"""The dataset card: README.md with the header that the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, Template

from configs.schema import RewardsConfig
from formats.rows.examples import Examples
from formats.rows.filters import Filters
from formats.rows.source import Source
from formats.targets.target import Target
from formats.writing.folder import State
from formats.writing.licences import licence_of
from formats.writing.part_files import SUFFIX_OF_FORM
from storage.runs import package_version

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
CHECKPOINTS = """
SELECT role, round, digest, any_value(parameters), any_value(examples) FROM run_checkpoints WHERE run_id = $run
GROUP BY ALL ORDER BY round, role DESC, digest"""
VERDICTS = """
SELECT verdict, count(*) FROM (SELECT DISTINCT deviation_id, verdict FROM run_deviations WHERE run_id = $run)
GROUP BY ALL ORDER BY ALL"""
REPAIRS = """
SELECT count_if(kept), count(*), any_value(reflector)
FROM (SELECT DISTINCT calibration_id, kept, reflector FROM run_calibrations WHERE run_id = $run)"""


def card(target: Target[Any], source: Source[Any], state: State, filters: Filters, name: str) -> str:
    """The text of the card. It says nothing that is not in the store, the audit or the format."""
    audit, world = state.audit, source.run.config.environment.name
    licence, sentence = licence_of(world)
    seen = "" if not audit.observations else ", but for observations within the targets (see below)"
    return _template().render(
        header=_header(target, state, name, licence),
        title=name,
        rows=audit.rows,
        format=target.name,
        target=target,
        run=source.run.run_id,
        version=package_version(),
        world=world,
        making=list(_making(source, filters)),
        sets=sorted(audit.sets.items()),
        counts=list(_counts(state, target.masks)),
        usage=target.usage.replace("FOLDER", name).replace("DATASET", name),
        limits=list(_limits(target, source)),
        licence=sentence,
        examples=isinstance(source, Examples),
        **{"except": seen},
    )


def _header(target: Target[Any], state: State, name: str, licence: str) -> str:
    """The YAML of the Hub. `dataset_info` counts; the columns are inferred from the files."""
    size = next((name for most, name in SIZES if state.audit.rows < most), "1M<n<10M")
    split = {
        "name": "train",
        "num_bytes": sum(part.bytes for part in state.parts),
        "num_examples": state.audit.rows,
    }
    files = f"data/*{SUFFIX_OF_FORM[target.form]}"
    known: dict[str, Any] = {
        "language": ["en"],
        "license": licence,
        "pretty_name": name,
        "tags": ["agent", "trajectories", "steca", "step-level-calibration", target.name],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": files}]}],
        "dataset_info": {"config_name": "default", "splits": [split]},
    }
    if target.form == "sessions":  # no table: the Hub finds out by itself that they are traces
        del known["configs"], known["dataset_info"]
    return yaml.safe_dump(known, sort_keys=False, allow_unicode=True)


def _making(source: Source[Any], filters: Filters) -> Iterator[str]:
    run, config = source.run, source.run.config
    base = (
        Path(config.policy.base).name if config.policy.base else "a small model that was trained from scratch"
    )
    yield f"Policy: {base}; prompt `{config.policy.prompt}`, turns in the form `{config.environment.action_format}`."
    for role, round, digest, parameters, examples in run.rows(CHECKPOINTS, run=run.run_id):
        of_round = f", round {round}" if round else ""
        size = f"{parameters:,} parameters, trained on {examples:,} examples"
        yield f"Checkpoint `{digest[:16]}` ({role}{of_round}): {size}."
    rule = config.deviation
    yield (
        f"Deviations: rule `{rule.preset}`, threshold delta = {rule.delta:g}, error rate of intervals "
        f"{rule.error_rate:g}. Rollouts a turn: {_rollouts(config.rewards)}."
    )
    if verdicts := run.rows(VERDICTS, run=run.run_id):
        yield "Comparisons of turns: " + ", ".join(f"{n:,} {verdict}" for verdict, n in verdicts) + "."
    ((kept, tried, reflector),) = run.rows(REPAIRS, run=run.run_id)
    if tried:
        yield f"Repairs: {kept:,} of {tried:,} succeeded and are kept; reflections by `{reflector}`."
    if asked := filters.asked():
        yield "Filters: " + ", ".join(f"{name} = {value}" for name, value in asked.items()) + "."


def _rollouts(rewards: RewardsConfig) -> str:
    if rewards.mode == "sequential":
        return f"as many as the verdict needs, at most {rewards.max_rollouts}"
    return f"{rewards.rollouts}" + (
        ", fewer where the verdict is certain" if rewards.mode == "curtailed" else ""
    )


def _counts(state: State, masks: bool) -> Iterator[tuple[str, str]]:
    audit = state.audit
    if masks:
        yield "turns that are trained on", f"{audit.turns_trained:,}"
        yield "turns that are context only", f"{audit.turns_context:,}"
        yield "observations that the format trains on", f"{audit.observations:,}"
    yield "longest row, characters", f"{audit.longest:,}"
    for reason, n in sorted(audit.dropped.items()):
        yield f"not in it: {reason}", f"{n:,}"
    for how, n in sorted(audit.changed.items()):
        yield f"changed: {how}", f"{n:,}"


def _limits(target: Target[Any], source: Source[Any]) -> Iterator[str]:
    yield from target.limits
    yield "One world, and the mistakes of one policy: other policies go wrong elsewhere."
    yield "Verdicts rest on few rollouts a turn; `gap` and its interval are in the store."
    config = source.run.config
    if config.environment.action_format == "tool_call":
        yield "Calls of tools are text in the agent's turns, as the policy writes them; there is no column `tools`."
    if config.policy.thinking == "on":
        yield "What the policy thought before its turns is not part of the conversation, as in the factory."


@cache
def _template() -> Template:
    text = files("formats.writing").joinpath("card.md.jinja").read_text()
    return Environment(undefined=StrictUndefined, trim_blocks=False, keep_trailing_newline=True).from_string(
        text
    )
