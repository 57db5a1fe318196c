"""Files of a data folder: shards and manifests, run files, cached results, replies, rollouts, exports' manifests."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from formats.faults import FormatFault
from formats.writing.existing import existing
from models.training.loop.states import SEAL, newest_intact
from storage.columns import to_parquet
from storage.comparisons import ComparisonState, comparison_file, read_comparison, save_comparison
from storage.faults import StorageFault
from storage.ids import digest_bytes
from storage.ingest.scan import present_batches, run_files, why_unusable
from storage.replies import CallJournal
from storage.rollout_pool import rollouts_in
from storage.runs import RunFolder, StageState, list_runs
from storage.shards import ShardStore
from tasks.caching import results_of, stored_result
from tests.fuzz.inputs import changed, damaged, damaged_bytes, encoded
from tests.fuzz.trying import Kind
from tests.support.store_rows import BEGUN, one_of_each, step
from view.labels import FILE, Labels

ROOT = Path(mkdtemp(prefix="steca-fuzz-"))
SHARDS = ShardStore(ROOT / "data")
REF = SHARDS.write_batch("explore-1", "b0", one_of_each())
MANIFEST = SHARDS.folder / "explore-1" / "b0.json"
GOOD = json.loads(MANIFEST.read_text())
WHOLE = {shard["file"]: (MANIFEST.parent / shard["file"]).read_bytes() for shard in GOOD["shards"]}
OF_STEPS = next(name for name in WHOLE if name.startswith("steps-"))


@st.composite
def shard(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """(a shard's name, damaged bytes, whether its digest is put into the manifest, so that the bytes are parsed)."""
    name = draw(st.sampled_from(list(WHOLE)))
    other = st.sampled_from(
        [WHOLE[OF_STEPS], to_parquet(type(step("x", 0)), [step("x", 0)] * 3), b"", b"PAR1PAR1"]
    )
    return name, draw(damaged_bytes(st.just(WHOLE[name])) | other), draw(st.integers(0, 3)) > 0


def use_shard(made: tuple[str, bytes, bool]) -> None:
    """As an ingest and as a stage read them."""
    name, data, fits = made
    shards = [
        {**one, "sha256": digest_bytes(data)} if fits and one["file"] == name else one
        for one in GOOD["shards"]
    ]
    MANIFEST.write_text(json.dumps({**GOOD, "shards": shards}))
    (MANIFEST.parent / name).write_bytes(data)
    try:
        read_all()
    finally:
        (MANIFEST.parent / name).write_bytes(WHOLE[name])


def use_manifest(data: bytes) -> None:
    MANIFEST.write_bytes(data)
    read_all()


def read_all() -> None:
    batches, aside = present_batches(SHARDS)
    for one in aside:
        raise StorageFault(one.reason)
    for batch in batches:
        why = why_unusable(SHARDS, batch)
        if why:
            raise StorageFault(why)
        SHARDS.read_batch(batch.ref)


RUN = RunFolder(ROOT / "data", "run-1")
RUN.create("run-1", {"name": "run-1", "seed": 1})
RUN.save_stage(
    StageState(
        stage="explore", round=1, stage_key="explore-1", status="completed", started_at=BEGUN, ended_at=BEGUN,
        seconds=1.0, batches=(REF,),
    )
)  # fmt: skip
save_comparison(ROOT / "data", ComparisonState(name="c", reference="sft"))
PLACES = {
    "run.json": RUN.folder / "run.json",
    "stage": next((RUN.folder / "stages").iterdir()),
    "comparison": comparison_file(ROOT / "data", "c"),
    "labels": ROOT / "data" / FILE,
    "journal": CallJournal(ROOT / "data", "b0").path,
    "result": results_of(ROOT / "data") / "key",
    "seal": ROOT / "training" / "checkpoint-1" / SEAL,
    "export": ROOT / "export" / "manifest.json",
}
for _place in PLACES.values():
    _place.parent.mkdir(parents=True, exist_ok=True)
_label = {"deviation_id": "d", "trajectory_id": "t", "step_index": 0, "label": "agree"}
CONTENT: dict[str, Any] = {
    "run.json": json.loads(PLACES["run.json"].read_text()),
    "stage": json.loads(PLACES["stage"].read_text()),
    "comparison": json.loads(PLACES["comparison"].read_text()),
    "labels": _label,
    "journal": {"text": "x", "call": {}},
    "result": {"metadata": {}, "result": json.dumps({"ref": REF.model_dump(), "cut": False})},
    "seal": {"model.safetensors": "0" * 64},
    "export": {"made_by": "steca export", "asked": "x", "files": {"data/a.jsonl": "0"}},
}


@st.composite
def stored(draw: st.DrawFn) -> tuple[str, bytes]:
    """(which file, its damaged bytes)."""
    which = draw(st.sampled_from(list(CONTENT)))
    whole = st.just(CONTENT[which])
    text = draw(changed(whole).map(json.dumps) | damaged(whole.map(json.dumps)))
    return which, encoded(text)


def use_stored(made: tuple[str, bytes]) -> None:
    which, data = made
    PLACES[which].write_bytes(data)
    try:
        READ[which]()
    finally:
        PLACES[which].write_text(json.dumps(CONTENT[which]))


def _stages() -> None:
    run_files(ROOT / "data")
    RUN.stages()


READ: dict[str, Any] = {
    "run.json": lambda: (run_files(ROOT / "data"), list_runs(ROOT / "data")),
    "stage": _stages,
    "comparison": lambda: read_comparison(PLACES["comparison"]),
    "labels": lambda: Labels(ROOT / "data").all(),
    "journal": lambda: CallJournal(ROOT / "data", "b0").load(),
    "result": lambda: stored_result(ROOT / "data", "key"),
    "seal": lambda: newest_intact(ROOT / "training"),
    "export": lambda: (found := existing(ROOT / "export")) and found.refuse_to_lose("y"),
}


def use_rollouts(data: bytes) -> None:
    path = ROOT / f"{digest_bytes(data)[:16]}.parquet"
    path.write_bytes(data)
    try:
        rollouts_in(path)
    finally:
        path.unlink()


ROLLOUTS = next(data for name, data in WHOLE.items() if name.startswith("rollouts-"))
STORED = (
    Kind("shards", shard(), use_shard, (StorageFault,)),
    Kind(
        "manifests",
        changed(st.just(GOOD)).map(lambda value: encoded(json.dumps(value)))
        | damaged(st.just(json.dumps(GOOD))).map(encoded),
        use_manifest,
        (StorageFault,),
    ),
    Kind("stored rollouts", damaged_bytes(st.just(ROLLOUTS)), use_rollouts, (StorageFault,)),
    Kind("other stored files", stored(), use_stored, (StorageFault, FormatFault)),
)
