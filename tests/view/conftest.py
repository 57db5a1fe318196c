"""Stores that the pages are tested on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steca.deviation import preset
from tests.support.judged_run import judged_run
from view.published import Published


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Runs whose comparisons were decided by different rules on the same rollouts. Tests only read it."""
    root = tmp_path_factory.mktemp("judged")
    judged_run(root, "release", preset("release", 0.1), "curtailed")
    judged_run(root, "paper", preset("paper"), "curtailed")
    judged_run(root, "fixed", preset("release", 0.02))
    published = Published(root)
    yield published
    published.close()
