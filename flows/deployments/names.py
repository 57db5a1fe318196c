"""Names of flow runs in the UI: what a run is of, unless a person has named it.

Prefect always gives a run a name, and both UIs fill one into the form, so a typed name can only be told by not looking
like one of theirs.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from flows.reporting.flow_run import current_flow_run

GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
FROM_UI = re.compile(rf"[A-Z][a-z]+(-[A-Z][a-z]+)+|({'|'.join(GREEK)})\d*(-[a-z0-9']+)+")
"""What the forms suggest: Rustic-Cat (V2), xi367-vulpeculae or delta3-algol-nebula (V1)."""
PROVISIONAL = " …"
"""How a name ends as long as it is not known which run it will be: `rewards r1 · newest …`."""


def run_name(run_id: str, stage: str = "", round: int = 0) -> str:
    """The name of a run of the factory, or of one of its stages. `round`: 0 before the rounds."""
    if not stage:
        return run_id
    return f"{stage} r{round} · {run_id}" if round else f"{stage} · {run_id}"


def rename(name: str) -> None:
    """Give the current flow run a name, unless a person has named it. Outside of a flow run nothing happens."""
    from prefect.client.orchestration import get_client

    run = current_flow_run()
    if run is None or not is_generated(run.name):
        return
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(run.id, name)
    run.name = name


def is_generated(name: str) -> bool:
    """Whether nobody chose this name: Prefect's server made it up (rustic-cat), or a form of its UIs, or it is
    provisional."""
    return bool(FROM_UI.fullmatch(name)) or _is_of_server(name) or name.endswith(PROVISIONAL)


def _is_of_server(name: str) -> bool:
    first, dash, second = name.partition("-")
    return bool(dash) and first in _words("adj_any") and second in _words("subj")


@cache
def _words(kind: str) -> frozenset[str]:
    """The words of one kind in the package that Prefect's server takes names from."""
    from coolname.data import config

    entry: Any = config[kind]
    return frozenset(entry.get("words", ())).union(*(_words(each) for each in entry.get("lists", ())))
