"""What the code knows, as SQL: presets and tolerance of `steca.deviation`, and the stages. The store has no copy."""

from __future__ import annotations

from dataclasses import fields

from configs.stages import BEFORE_ROUNDS, STAGES

ABOUT = {
    "preset": "Name of the rule: deviation.preset",
    "strict": "TRUE: deviated where gap < delta; FALSE: where gap <= delta",
    "first_only": "TRUE where only the first deviation of a task is selected",
    "require_failure": "TRUE where a comparison counts only if the explored run failed",
    "min_step": "Smallest step_index that can deviate",
    "max_similarity": "Turns at least this similar to the expert turn cannot deviate; NULL: no such limit",
    "require_continuation": "TRUE where a comparison counts only if the agent acted again afterwards",
    "delta": "Threshold of eq. 5",
    "needs_rewards": "FALSE where no rollouts are compared: every comparison that passes the filters is deviated, or "
    "a language model decides",
    "test": "means: the means are compared; evidence: what the rollouts prove at error_rate; posterior: how probable "
    "a drop is; judge: what a language model says of the turn",
    "error_rate": "Error rate of each end of the interval of the gap",
    "smallest_drop": "How far below delta a gap must be to matter, where test is evidence",
    "probability": "Deviated where P(drop) is larger, where test is posterior",
}
"""What the columns of deviation_presets mean."""


def presets_sql() -> str:
    """The view `deviation_presets`, one row a preset of `steca.deviation.PRESETS`, and the macro `tie()`."""
    # Imported here: scipy, which the evidence test needs, is slow to load and no reader of the store needs it.
    from steca.deviation import PRESETS, Rule
    from steca.rewards import TIE

    names = [field.name for field in fields(Rule)]
    rows = ", ".join(
        "(" + ", ".join(_literal(getattr(rule, name)) for name in names) + ")" for rule in PRESETS.values()
    )
    columns = ", ".join("preset" if name == "name" else name for name in names)
    about = "\n".join(
        f"COMMENT ON COLUMN deviation_presets.{name} IS {_literal(text)};" for name, text in ABOUT.items()
    )
    return f"""
        CREATE OR REPLACE MACRO tie() AS {TIE!r}::DOUBLE;
        CREATE OR REPLACE VIEW deviation_presets AS SELECT * FROM (VALUES {rows}) rules({columns});
        COMMENT ON VIEW deviation_presets IS
            'What each deviation preset asks for; delta, error_rate, smallest_drop and probability are defaults';
        COMMENT ON MACRO tie IS 'How far two rewards may differ and count as equal';
        {about}
    """


def stages_sql() -> str:
    """The macros `stage_names()`, `stage_place(stage)` and `stages_in_round()`."""
    return f"""
        CREATE OR REPLACE MACRO stage_names() AS {list(STAGES)};
        CREATE OR REPLACE MACRO stage_place(stage) AS list_position(stage_names(), stage);
        CREATE OR REPLACE MACRO stages_in_round() AS {len(STAGES) - len(BEFORE_ROUNDS)};
        COMMENT ON MACRO stage_names IS 'The stages of a run, in their order';
        COMMENT ON MACRO stage_place IS 'Where a stage is in the order of the stages, from 1';
        COMMENT ON MACRO stages_in_round IS 'How many stages each round has';
    """


def _literal(value: object) -> str:
    if value is None:
        return "NULL::DOUBLE"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value!r}::DOUBLE"
    return str(value) if isinstance(value, int) else f"'{value}'"
