"""Which Prefect server is configured, and where; and that servers on this machine need no proxy."""

from __future__ import annotations

import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.runtime import check_writable
from flows.faults import StageFault
from flows.server import environment, settings
from flows.server.process import answers
from models.processes.loopback import bypass_proxy_for_loopback
from storage.faults import StorageFault
from tests.support.fake_openai.server import FakeOpenAI

URL = "http://server:4200/api"
PROFILES = (
    f'active = "far"\n[profiles.far]\nPREFECT_API_URL = "{URL}"\n[profiles.near]\nPREFECT_SERVER_PORT = "1"\n'
)


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a home without any settings."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    (tmp_path / "home" / ".prefect").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_nothing_is_configured_by_itself(clean: Path) -> None:
    assert settings.api_url() is None
    assert settings.home() is None
    assert environment.prefect_home(clean / "data") == clean / "data" / "prefect"


@pytest.mark.parametrize(
    ("file", "text", "source"),
    [
        (".env", f"PREFECT_API_URL={URL}", "PREFECT_API_URL in "),
        ("prefect.toml", f'[api]\nurl = "{URL}"', "api.url in "),
        ("pyproject.toml", f'[tool.prefect.api]\nurl = "{URL}"', "tool.prefect.api.url in "),
        ("../home/.prefect/profiles.toml", PROFILES, "the profile far in "),
    ],
)
def test_a_server_is_found_where_prefect_finds_it(
    file: str, text: str, source: str, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(file).write_text(text)
    found = settings.api_url()
    assert found is not None
    assert found.value == URL
    assert found.source.startswith(source)
    assert Path(file).name in found.source
    from prefect.settings import Settings

    monkeypatch.setenv(
        "PREFECT_HOME", str(clean / "home" / ".prefect")
    )  # it has looked for ~ when it was imported
    assert Settings().api.url == URL, "Prefect finds the same"
    monkeypatch.setenv("PREFECT_API_URL", "http://other/api")
    assert settings.api_url() == settings.Setting(
        "http://other/api", "the environment variable PREFECT_API_URL"
    )


def test_another_profile_names_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("../home/.prefect/profiles.toml").write_text(PROFILES)
    monkeypatch.setenv("PREFECT_PROFILE", "near")
    assert settings.api_url() is None
    monkeypatch.setenv("PREFECT_PROFILE", "unknown")
    assert settings.api_url() is None


@pytest.mark.parametrize("file", ["prefect.toml", "pyproject.toml"])
def test_a_broken_file_is_named(file: str) -> None:
    Path(file).write_text("[api\n")
    with pytest.raises(StageFault, match=f"{file} cannot be read"):
        settings.api_url()


def test_a_folder_of_prefect_that_is_a_file_is_named(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clean / "file").write_text("")
    for name in environment.SETTINGS:
        monkeypatch.setenv(name, environment.SETTINGS[name])
    monkeypatch.setenv("PREFECT_HOME", str(clean / "file"))
    with pytest.raises(StageFault, match=r"file \(from the environment variable PREFECT_HOME\) is a file"):
        environment.prepare(clean / "data")


def test_a_socks_proxy_that_cannot_be_used_is_named(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StageFault, match="ALL_PROXY is a SOCKS proxy"):
        environment.prepare(clean / "data")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "corp.example, localhost"}, "corp.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,b,127.0.0.1,localhost,::1"),
    ],
)
def test_the_names_of_this_machine_join_those_that_need_no_proxy(
    before: dict[str, str], after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, before.get(name, ""))
    bypass_proxy_for_loopback()
    bypass_proxy_for_loopback()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after
    monkeypatch.setenv("NO_PROXY", "*")
    bypass_proxy_for_loopback()
    assert os.environ["NO_PROXY"] == "*", "which is everything already"


def test_a_server_on_this_machine_is_reached_behind_a_dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(urllib.request, "_opener", None)
    with FakeOpenAI("m") as server:
        api = server.url.removesuffix("/v1")
        assert not answers(api), "through the proxy"
        bypass_proxy_for_loopback()
        assert answers(api)


def test_many_may_probe_a_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_writable, [tmp_path / "data"] * 400))
    assert not list((tmp_path / "data").iterdir()), "nothing is left behind"


def test_a_probe_that_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / ".writable").write_text("steca\n")
    check_writable(data)
    assert not list(data.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault, match="cannot write in"):
        check_writable(tmp_path / "file")
