"""The toy wheel, and worlds on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.textcraft.world import Textcraft
from tests.support.textcraft_toys import use_toys


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the toy wheel, which is found without an option."""
    return use_toys(tmp_path, monkeypatch)


@pytest.fixture
def classic(toys: Path) -> Textcraft:
    return Textcraft()


@pytest.fixture
def synth(toys: Path) -> Textcraft:
    return Textcraft({"set": "synth"})
