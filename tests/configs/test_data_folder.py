"""A data folder given as a URL is a folder of this machine, and each tells the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.data_folder import MIRRORS, data_folder, shown, url_of
from configs.faults import ConfigFault
from configs.load import load_config
from configs.schema import FactoryConfig
from flows.wording import in_folder, to_start


@pytest.fixture(autouse=True)
def _own_mirrors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MIRRORS, str(tmp_path / "mirrors"))


@pytest.mark.parametrize("url", ["s3://bucket/a/b", "s3://bucket", "s3://b/x=1/y+z", "memory://x/a_b.c"])
def test_a_url_has_a_folder_and_the_folder_its_url(url: str, tmp_path: Path) -> None:
    folder = data_folder(url)
    assert folder.parent == tmp_path / "mirrors"
    assert url_of(folder) == shown(folder) == url
    assert data_folder(folder) == folder


def test_a_slash_that_a_path_has_lost_means_the_same() -> None:
    assert data_folder(Path("s3://bucket/a")) == data_folder("s3:/bucket/a") == data_folder("s3://bucket/a/")


@pytest.mark.parametrize("path", ["data", "/tmp/a b", "~/x", "s3+bucket+x"])
def test_a_path_stays_a_path(path: str) -> None:
    assert data_folder(path) == Path(path)
    assert url_of(Path(path)) is None
    assert shown(Path(path)) == path


def test_a_file_url_is_its_folder() -> None:
    assert data_folder("file:///tmp/data") == Path("/tmp/data")


@pytest.mark.parametrize(
    "url",
    [
        "s3://id:secret@bucket/a",
        "s3://",
        "s3://bucket/../a",
        "s3://bucket//a",
        "s3://bucket/a?b",
        "s3://" + "a" * 300,
    ],
)
def test_a_url_that_cannot_be_one_is_refused_in_a_line(url: str) -> None:
    with pytest.raises(ConfigFault) as fault:
        load_config(None, [f"data_dir={url}"])
    assert "data_dir: " in str(fault.value)
    assert "secret" not in str(fault.value)
    assert "\n" not in str(fault.value)


def test_what_is_printed_names_the_url() -> None:
    config = load_config(None, ["data_dir=s3://bucket/a"])
    assert config.model_dump(mode="json")["data_dir"] == "s3://bucket/a"
    assert in_folder(config.data_dir) == " --data-dir s3://bucket/a"
    assert to_start(config.data_dir) == "`steca run --set data_dir=s3://bucket/a`"


@pytest.mark.parametrize("given", ["s3://bucket/a", "/tmp/data"])
def test_a_configuration_as_json_is_read_again(given: str) -> None:
    """As the processes of a comparison and the actors of a cluster get theirs."""
    config = load_config(None, [f"data_dir={given}"])
    assert FactoryConfig.model_validate_json(config.model_dump_json()) == config
    assert FactoryConfig.model_validate(config.model_dump()) == config
