"""YAML files of runs and comparisons, and changes on the command line."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import yaml
from hypothesis import strategies as st

from configs.comparison import load_comparison
from configs.faults import ConfigFault
from configs.load import load_config
from configs.schema import FactoryConfig
from tests.fuzz.inputs import TEXTS, changed, damaged, encoded
from tests.fuzz.trying import Kind
from tests.support.tiny_factory import ROOT

FOLDER = Path(mkdtemp(prefix="steca-fuzz-"))
RUNS = [path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))]
COMPARISONS = [path.read_text() for path in sorted((ROOT / "configs" / "compare").glob("*.yaml"))]
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
LOOP = "name: &a [*a]\n"
PIECES = TEXTS | st.sampled_from(
    [
        *(
            "&a ",
            "*a",
            "<<: *a\n",
            "!!python/object/apply:os.system ['true']",
            "!!binary |\n  x",
            "? [a]\n: b\n",
            "%YAML 9.9\n",
        ),
        *(
            "!!set {a}",
            "2001-99-99",
            "1:99:99",
            ".inf",
            ".nan",
            "0x",
            "1_000",
            "\t",
            "---\n",
            "...\n",
            "'",
            '"',
            "{",
            "[",
            "- ",
        ),
        *(
            "!!int x",
            "!!float y",
            "!!timestamp z",
            "!!omap [a]",
            "!!pairs [a]",
            "!!bool maybe",
            "=: 1\n",
            "|\n",
            ">-\n",
        ),
        *(
            LOOP,
            BOMB,
            "seed: *a\n",
            "a: &a {b: *a}\n",
            "rewards: &r {rollouts: *r}\n",
            "arms: {}\n",
            "config: x\n",
        ),
    ]
)
FIELDS = st.sampled_from(
    [
        *FactoryConfig.model_fields,
        "rollouts",
        "mode",
        "delta",
        "model",
        "options",
        "prices",
        "key_env",
        "base_urls",
    ]
)
WHOLE = st.sampled_from([{name: value} for name, value in FactoryConfig().model_dump(mode="json").items()])
SET = st.builds(
    "{}{}{}={}".format, FIELDS, st.sampled_from([".", "", "..", "."]), FIELDS | TEXTS, PIECES | st.just("1")
)


def written(text: str, name: str = "config.yaml") -> Path:
    path = FOLDER / name
    path.write_bytes(encoded(text))
    return path


def use_file(text: str) -> None:
    load_config(written(text))


def use_values(settings: Any) -> None:
    load_config(written(yaml.safe_dump(settings)))


def use_changes(changes: list[str]) -> None:
    load_config(None, changes)


def use_comparison(text: str) -> None:
    load_comparison(written(text, "comparison.yaml"))


MANY = 1000
SETTINGS = (
    Kind(
        "YAML: configurations",
        damaged(st.sampled_from([*RUNS, BOMB, LOOP]), PIECES),
        use_file,
        (ConfigFault,),
        MANY,
    ),
    Kind("YAML: values of settings", changed(WHOLE, FIELDS | TEXTS), use_values, (ConfigFault,), MANY),
    Kind("--set", st.lists(SET | TEXTS, min_size=1, max_size=3), use_changes, (ConfigFault,), MANY),
    Kind(
        "YAML: comparisons",
        damaged(st.sampled_from(COMPARISONS), PIECES),
        use_comparison,
        (ConfigFault,),
        MANY,
    ),
)
