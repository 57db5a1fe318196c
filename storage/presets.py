"""The method's presets and tolerance as SQL, so that the store decides by `steca.deviation`, not by a copy of it."""

from __future__ import annotations

from dataclasses import fields


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
    return f"""
        CREATE OR REPLACE MACRO tie() AS {TIE!r}::DOUBLE;
        CREATE OR REPLACE VIEW deviation_presets AS SELECT * FROM (VALUES {rows}) rules({columns});
        COMMENT ON VIEW deviation_presets IS
            'What each deviation preset asks for; delta, error_rate and smallest_drop are defaults';
    """


def _literal(value: object) -> str:
    if value is None:
        return "NULL::DOUBLE"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value!r}::DOUBLE"
    return str(value) if isinstance(value, int) else f"'{value}'"
