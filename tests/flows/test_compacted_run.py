"""A run whose shards were packed: its batches are cached as before, also after damage and repair."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.factory import factory
from flows.runs.run import run_id
from flows.stages import STAGE_FLOWS
from storage.compaction import compact
from storage.faults import StorageFault
from storage.packs import open_pack
from storage.store import Store
from tests.flows.test_factory import executed, row_counts, states


def packed(root: Path) -> None:
    list(compact(root))
    assert list(root.glob("shards/*/*.zip"))


def test_nothing_is_computed_again_and_a_rebuilt_store_has_the_same_rows(copied: FactoryConfig) -> None:
    before = row_counts(copied)
    packed(copied.data_dir)
    assert factory(copied) == run_id(copied)
    assert executed(copied) == dict.fromkeys(STAGES, 0)
    assert Store(copied.data_dir).rebuild().set_aside == ()
    assert row_counts(copied) == before


def test_a_damaged_shard_in_a_pack_is_not_used_and_force_mends_it(copied: FactoryConfig) -> None:
    packed(copied.data_dir)
    (pack,) = (copied.data_dir / "shards" / states(copied)["demonstrate", 0].batches[0].stage_key).glob(
        "*.zip"
    )
    before = open_pack(pack).members.keys()
    pack.write_bytes(pack.read_bytes().replace(b"PAR1", b"PAR2"))
    with pytest.raises(StorageFault, match=f"in pack {pack} is corrupt"):
        STAGE_FLOWS["demonstrate"](copied)
    STAGE_FLOWS["demonstrate"](copied, force=True)
    assert {path.name for path in pack.parent.glob("*.parquet")} == set(before)
    assert Store(copied.data_dir).rebuild().set_aside == ()
