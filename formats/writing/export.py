"""One export, from the store to the finished folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from formats.audit import Audit
from formats.faults import FormatFault
from formats.rows.examples import Examples
from formats.rows.filters import Filters
from formats.rows.reader import RunReader, open_run
from formats.rows.source import Counts, Source
from formats.targets.context import Context
from formats.targets.registry import target_called
from formats.targets.target import Target
from formats.writing.card import card
from formats.writing.existing import existing
from formats.writing.folder import State, Workplace, workplace
from formats.writing.manifest import MADE_BY, MANIFEST
from formats.writing.part_files import digest
from formats.writing.parts import PART, Parts
from steca.vocabulary import Progress
from storage.files import write_atomic
from storage.ids import content_id
from storage.runs import package_version
from storage.store import Store

VERSION = 1
"""Raised when the same request gives other files, so that no export of an older version is taken for it."""


@dataclass(frozen=True)
class Request:
    """What to export, and how."""

    format: str
    run_id: str
    out: Path
    filters: Filters = field(default_factory=Filters)
    context: Context = "refuse"


@dataclass(frozen=True)
class Report:
    """A finished export. `resumed`: parts that an earlier, killed export had written; `known`: all was there;
    `damaged`: files that were there and were not as the same export had written them, which is why it was made anew."""

    out: Path
    files: tuple[str, ...]
    audit: Audit
    resumed: int = 0
    known: bool = False
    damaged: tuple[str, ...] = ()


def export(
    store: Store, request: Request, progress: Progress = lambda done, total: None, part_bytes: int = PART
) -> Report:
    """Write the export of a run that the store has. Raises FormatFault for what cannot be exported as asked, before
    anything is written; StorageFault; and EnvironmentFault where the prompt needs a world that is missing."""
    target = target_called(request.format, request.context)
    with workplace(request.out) as place, open_run(store, request.run_id, place.sort) as run:
        source = target.source(run, request.filters)
        asked = _asked(request, run, part_bytes)
        there = existing(request.out)
        same = there is not None and there.asked == asked
        if there and same and not there.damaged and "audit" in there.manifest:
            known = there.manifest
            return Report(request.out, tuple(known["files"]), Audit.from_json(known["audit"]), known=True)
        if there:
            there.refuse_to_lose(asked)
        counts = source.counts
        _refuse_context(target, source)
        state = place.resume(asked)
        resumed = len(state.parts)
        try:
            Parts(place, target, source, part_bytes).write(state, progress)
            files = _finish(place, target, source, state, counts, request)
        except FormatFault:  # the same request would fail in the same way
            place.discard()
            raise
        damaged = there.damaged if there and same else ()
        place.publish()
    return Report(request.out, files, state.audit, resumed, damaged=damaged)


def _asked(request: Request, run: RunReader, part_bytes: int) -> str:
    """Content id of everything that decides the files."""
    return content_id(
        VERSION, package_version(), request.format, request.run_id, request.context,
        _json(request.filters.asked()), run.digest, part_bytes,
    )  # fmt: skip


def _json(values: dict[str, Any]) -> Any:
    return json.loads(json.dumps(values))


def _refuse_context(target: Target[Any], source: Source[Any]) -> None:
    """Raises FormatFault where the format would train on turns of the context, and --context does not say what then."""
    if not target.contexts or target.context != "refuse" or not isinstance(source, Examples):
        return
    if by_set := source.with_context_turns():
        found = " and ".join(f"{n} of {name}" for name, n in by_set)
        raise FormatFault(
            f"{target.name} cannot leave turns out of the loss, and {found} have turns of the agent that must not be "
            f"trained on: choose a format that can (trl-sft, openai-sft, parquet), other --sets, or --context "
            f"{' | '.join(target.contexts)}"
        )


def _finish(
    place: Workplace,
    target: Target[Any],
    source: Source[Any],
    state: State,
    counts: Counts,
    request: Request,
) -> tuple[str, ...]:
    """Write what goes with the parts: audit, card, the format's own files, and the manifest last."""
    if not state.parts:
        raise FormatFault(f"no row is left to write: {'; '.join(state.audit.dropped)}")
    if counts.held_out:
        state.audit.drop("test tasks are held out", counts.held_out)
    if counts.filtered:
        state.audit.drop("left out by the filters", counts.filtered)
    audit = state.audit.to_json()
    others = {
        "mask_audit.json": (json.dumps(audit, indent=1) + "\n").encode(),
        "README.md": card(target, source, state, request.filters, request.out.name).encode(),
        **target.files(request.out.name),
    }
    for name, content in others.items():
        write_atomic(place.export / name, content)
    digests = {name: digest(place.export / name) for name in others}
    for part in state.parts:
        digests |= {part.file: part.sha256, part.lineage: part.lineage_sha256}
    manifest = {
        "made_by": MADE_BY,
        "version": package_version(),
        "format": target.name,
        "read_by": target.reader,
        "asked": state.asked,
        "run": {
            "id": source.run.run_id,
            "config_digest": content_id(source.run.settings),
            "rows_digest": source.run.digest,
        },
        "filters": _json(request.filters.asked()),
        "context": request.context,
        "weight": {"kind": target.weight.kind, "why": target.weight.why},
        "audit": audit,
        "lineage": "row i of lineage/X.parquet tells where row i of data/X comes from",
        "rows": {part.file: part.rows for part in state.parts},
        "files": digests,
    }
    write_atomic(place.export / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return (*sorted(digests), MANIFEST)
