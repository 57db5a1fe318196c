"""`steca world new` and `steca world check`, as a user starts them."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

import cli.world.check as command
from cli.world.check import print_findings
from cli.world.new import write_world
from cli.world.serve import serve_world
from configs.load import load_config
from environments.base import EnvironmentFault


@pytest.mark.parametrize("name", ["json", "sys", "torch", "steca", "__main__"])
def test_a_name_that_python_would_import_from_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=f"{name} is the name of another module .*: choose another"):
        write_world(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_folders_and_own_files_of_the_same_name_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mailhouse").mkdir()
    write_world("mailhouse", Path())
    write_world("mailhouse", tmp_path / "elsewhere")
    with pytest.raises(EnvironmentFault, match="exists already"):
        write_world("mailhouse", Path())


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    config = load_config(None, ["environment.name=environments.template.world:World"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EnvironmentFault, match=rf"cannot listen at 127.0.0.1 port {port} .*: choose another --host or"
        ):
            serve_world(config, "127.0.0.1", port, 3)


LAZY = """
from environments.template.world import World as Whole
from tests.support.own_worlds import Lazy

print("imported")


class Talking(Lazy):
    def tasks(self, split, count, seed):
        print("listing\\n" * 1500)
        return super().tasks(split, count, seed)

    def close(self):
        print("closed")


class Quiet(Whole):
    pass
"""


def checked(file: Path, world: str) -> bool:
    return print_findings(load_config(None, [f"environment.name={file}:{world}"]), 12)


def test_without_a_terminal_findings_are_lines_and_the_worlds_own_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "talking.py").write_text(LAZY)
    assert checked(file, "Talking")
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == f"world {file}:Talking"
    assert lines[0].startswith("ok         version: 1 (raise it")
    assert last == "no fault, 3 notes"
    assert sum(line.startswith("note ") for line in lines) == 3
    assert lines[-1].startswith("note       standard output: prints to standard output: ")
    assert lines[-1].endswith(" lines, e.g. 'imported'")
    assert not {"imported", "listing", "closed"} & set(lines)


def test_a_quiet_world_has_no_such_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "quiet.py").write_text(LAZY.replace("print(", "str("))
    assert checked(file, "Quiet")
    said = capsys.readouterr().out
    assert "standard output" not in said
    assert said.splitlines()[-1] == "no fault, 1 note"


def test_what_takes_long_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SLOW", 0.05)
    out = command.make_console(None, 100)
    with command._Lines(out, "slow") as shown:
        shown.doing("snapshots")
        time.sleep(0.3)
    said = capsys.readouterr().out
    assert said.splitlines() == ["world slow", "still checking: snapshots"]
    with command._Lines(out, "fast") as shown:
        shown.doing("snapshots")
    assert "still" not in capsys.readouterr().out


def test_a_terminal_shows_the_running_check_and_then_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    out = command.make_console(None, 100, force_terminal=True)
    with command._Terminal(out, "own") as shown:
        shown.doing("snapshots")
        time.sleep(0.2)
        shown.add(command.Finding("snapshots", "ok", "all [well]"))
    said = capsys.readouterr().out
    assert "checking: snapshots" in said
    assert "all [well]" in said
