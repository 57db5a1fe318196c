"""What cards say of licences is what the installed packages say of themselves, or that it was not checked."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from environments.registry import BUILT_IN
from formats.writing.licences import LICENCES, licence_of

CLASSIFIERS = {"mit": "License :: OSI Approved :: MIT License", "apache-2.0": "Apache Software License"}
ELSEWHERE = {"openenv"}
"""Worlds whose data are whatever a server has."""


def test_every_world_of_this_repository_has_a_sentence() -> None:
    assert set(LICENCES) == set(BUILT_IN) - ELSEWHERE


@pytest.mark.parametrize(
    ("world", "package"), [("scienceworld", "scienceworld"), ("virtualhome", "virtualhome_eval")]
)
def test_the_installed_package_says_the_same(world: str, package: str) -> None:
    name, sentence = licence_of(world)
    try:
        known = metadata(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    assert re.search(rf"{package} {re.escape(known['Version'])}", sentence)
    assert any(CLASSIFIERS[name] in line for line in known.get_all("Classifier", []))


@pytest.mark.parametrize("world", ["openenv", "my_world.py:World"])
def test_what_is_not_known_is_said_not_to_be_checked(world: str) -> None:
    name, sentence = licence_of(world)
    assert name == "other"
    assert f"{world} was not checked: ask its author" in sentence
