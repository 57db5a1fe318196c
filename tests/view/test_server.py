"""The server answers its own pages only, says what is wrong, and always reads what was published last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from flows.faults import StageFault
from flows.runs.run import run_id
from formats.rows.reader import RunReader
from storage.records import Record
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import deviation, step, task, trajectory
from view.assets import modules
from view.published import Published
from view.serving.app import make_app
from view.serving.serve import _listening

ROWS = [task("task"), trajectory("x"), step("x", 0)]
COMPARED = deviation("d", "deviated", step_index=0)


@pytest.fixture
def made_up(tmp_path: Path) -> Iterator[TestClient]:
    made_up_run(tmp_path, {("explore", 1): [*ROWS, COMPARED]})
    with TestClient(make_app(tmp_path), base_url="http://localhost:4300") as client:
        yield client


@pytest.fixture(scope="module")
def real(finished: FactoryConfig) -> Iterator[TestClient]:
    with TestClient(make_app(finished.data_dir), base_url="http://127.0.0.1:4300") as client:
        yield client


def test_every_part_of_the_page_is_served(made_up: TestClient) -> None:
    page = made_up.get("/")
    assert page.status_code == 200
    imports = json.loads(page.text.split('<script type="importmap">')[1].split("</script>")[0])["imports"]
    assert set(imports) == set(modules())
    assert page.text.index("importmap") < page.text.index(
        "modulepreload"
    )  # else modules cannot find each other
    for url in [*imports.values(), "/static/style.css", "/static/vendor/d3.min.js"]:
        assert made_up.get(url).status_code == 200, url


def test_pages_may_load_nothing_from_elsewhere(made_up: TestClient) -> None:
    policy = made_up.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4300", "localhost.evil.example", ""])
def test_other_names_are_refused(made_up: TestClient, host: str) -> None:
    """DNS that leads a page of another site here would let it read the store."""
    answer = made_up.get("/api/runs", headers={"host": host})
    assert answer.status_code == 403
    assert "open it as localhost" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1:4300", "[::1]:4300", "[::1]"])
def test_names_of_this_machine_are_answered(made_up: TestClient, host: str) -> None:
    assert made_up.get("/api/runs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["mybox", "MyBox:4300", "[fe80::1]:4300"])
def test_names_that_it_was_given_are_answered_in_any_case(tmp_path: Path, host: str) -> None:
    made_up_run(tmp_path, {("explore", 1): ROWS})
    with TestClient(make_app(tmp_path, ("MyBox", "fe80::1")), base_url="http://localhost") as client:
        assert client.get("/api/runs", headers={"host": host}).status_code == 200
        assert client.head("/", headers={"host": host}).status_code == 405  # but it is not taken for a label


def test_an_address_of_ipv6_can_be_listened_at() -> None:
    with _listening("::1", 0) as listening:
        assert listening.getsockname()[0] == "::1"
    with pytest.raises(StageFault, match="cannot be used on ::1"), _listening("::1", 0) as taken:
        _listening("::1", taken.getsockname()[1])


LABEL = {"deviation_id": "d", "trajectory_id": "x", "step_index": 0, "label": "agree"}


def test_labels_are_taken_from_own_pages_only(made_up: TestClient, tmp_path: Path) -> None:
    for origin in (
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
    ):
        assert made_up.post("/api/labels", json=LABEL, headers=origin).status_code == 403
    assert not (tmp_path / "labels.jsonl").exists()
    answer = made_up.post("/api/labels", json=LABEL, headers={"origin": "http://localhost:4300"})
    assert answer.json()["labels"][0]["label"] == "agree"
    for odd in ({"deviation_id": "e"}, {"trajectory_id": "y"}):
        answer = made_up.post("/api/labels", json=LABEL | odd, headers={"origin": "http://localhost:4300"})
        assert answer.status_code == 404
        assert "is about trajectory" in answer.json()["error"]
    [shown] = made_up.get("/api/runs/made-up/trajectories/x").json()["labels"]
    assert shown["deviation_id"] == "d"


def test_what_is_wrong_is_told_in_a_sentence(made_up: TestClient) -> None:
    for path, error in (
        ("/api/runs/nobody", "no run nobody in"),
        ("/api/runs/nobody/bench", "no run nobody in"),
        ("/api/runs/nobody/trajectories", "no run nobody in"),
        ("/api/runs/nobody/facets", "no run nobody in"),
        ("/api/runs/made-up/trajectories/y", "run made-up has no trajectory y"),
        ("/api/runs/made-up/bench?preset=papr", "no deviation preset is called 'papr'"),
        ("/api/runs/made-up/examples/e/tokens", "run made-up has no training example e"),
    ):
        answer = made_up.get(path)
        assert answer.status_code in (400, 404), path
        assert error in answer.json()["error"]
    assert made_up.get("/api/runs/made-up/trajectories?order=nothing").status_code == 422
    assert made_up.get("/api/runs/made-up/trajectories?page=-1").status_code == 422
    assert made_up.get("/api/runs/made-up/trajectories?unknown=1").status_code == 422
    assert made_up.get("/api/runs/made-up/trajectories", params={"q": "a" * 1001}).status_code == 422


@pytest.mark.parametrize("text", ["'';", '"; DROP TABLE steps; --', "%", "_", "\\", "\x00", "🧪", "a" * 1000])
def test_a_search_is_text_only(made_up: TestClient, text: str) -> None:
    found = made_up.get("/api/runs/made-up/trajectories", params={"q": text})
    assert found.status_code == 200
    assert found.json()["total"] == 0


def test_a_newer_store_is_read(tmp_path: Path) -> None:
    made_up_run(tmp_path, {("explore", 1): ROWS})
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        before = client.get("/api/version").json()["version"]
        assert client.get("/api/runs/made-up/trajectories").json()["total"] == 1
        more = [*ROWS, trajectory("y").model_copy(update={"trajectory_id": "y"}), step("y", 0)]
        made_up_run_again(tmp_path, more)
        assert client.get("/api/version").json()["version"] != before
        assert client.get("/api/runs/made-up/trajectories").json()["total"] == 2


def test_it_says_that_the_store_is_newer_only_when_answers_are(tmp_path: Path) -> None:
    """Else a page would ask again, get the old rows, and never hear of the new ones."""
    made_up_run(tmp_path, {("explore", 1): ROWS})
    published = Published(tmp_path)
    before = published.version()
    with published.cursor() as cursor:
        [(n,)] = cursor.execute("SELECT count(*) FROM trajectories").fetchall()
        made_up_run_again(tmp_path, [*ROWS, trajectory("y").model_copy(update={"trajectory_id": "y"})])
        assert published.version() == before
        assert published.rows("SELECT count(*) AS n FROM trajectories") == [{"n": n}]
    assert published.version() != before
    assert published.rows("SELECT count(*) AS n FROM trajectories") == [{"n": n + 1}]
    published.close()


def made_up_run_again(root: Path, rows: Sequence[Record]) -> None:
    """The same run with more rows, and published again."""
    for part in ("runs", "shards"):
        shutil.rmtree(root / part)
    made_up_run(root, {("explore", 1): rows})


def test_a_run_has_an_address_by_its_name_too(real: TestClient, finished: FactoryConfig) -> None:
    by_id = real.get(f"/api/runs/{run_id(finished)}").json()
    assert by_id["run_id"] == run_id(finished)
    assert real.get(f"/api/runs/{by_id['name']}").json() == by_id
    assert (
        real.get(f"/api/runs/{by_id['run_id'][:-2]}/facets").json()
        == real.get(f"/api/runs/{by_id['run_id']}/facets").json()
    )


def test_nothing_published_is_told(tmp_path: Path) -> None:
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        answer = client.get("/api/runs")
    assert answer.status_code == 404
    assert "nothing is published" in answer.json()["error"]


def test_a_world_that_tokens_need_is_closed(
    real: TestClient, finished: FactoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(RunReader, "briefs", True)
    monkeypatch.setattr(CompleteWorld, "close", lambda world: closed.append(world))
    run = run_id(finished)
    [row, *_] = real.get(f"/api/runs/{run}/trajectories", params={"trained": True}).json()["rows"]
    [example, *_] = real.get(f"/api/runs/{run}/trajectories/{row['trajectory_id']}").json()["examples"]
    assert real.get(f"/api/runs/{run}/examples/{example['example_id']}/tokens").status_code == 200
    assert len(closed) == 1


def test_tokens_are_those_that_training_has(real: TestClient, finished: FactoryConfig) -> None:
    run = run_id(finished)
    rows = real.get(f"/api/runs/{run}/trajectories", params={"trained": True}).json()["rows"]
    found = real.get(f"/api/runs/{run}/trajectories/{rows[0]['trajectory_id']}").json()
    [example, *_] = found["examples"]
    told = real.get(f"/api/runs/{run}/examples/{example['example_id']}/tokens").json()
    trained = "".join(text for text, target in told["tokens"] if target)
    for turn in found["steps"]:
        assert (turn["action"] in trained) == (turn["step_index"] >= example["target_from"]) or not turn[
            "action"
        ]
    assert told["trained"] == sum(target for _, target in told["tokens"]) > 0
    observation = found["first_observation"].split("\n")[0]
    assert observation in "".join(text for text, target in told["tokens"] if not target)


def test_a_report_is_one_file(real: TestClient, finished: FactoryConfig) -> None:
    page = real.get(f"/runs/{run_id(finished)}/report.html")
    assert page.status_code == 200
    assert "/static/" not in page.text
    assert 'id="chunk-0"' in page.text
    assert "script-src 'unsafe-inline' data:" in page.headers["content-security-policy"]
