"""What travels between driver and actor, without a cluster: errors, budgets, keys, places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from configs.schema import BudgetConfig
from models.policy import PolicyFault
from models.stopping import Stopped
from rollouts.budget import Allowance, BudgetTracker
from storage.faults import StorageFault
from storage.runs import Spent
from tasks.batch import BatchContext, Order
from tasks.ray.actor import BatchActor, look_around
from tasks.ray.errors import error_of, failure_of
from tasks.ray.messages import Failure, Place
from tasks.ray.servers import REFLECTOR_KEY, SERVER_KEY, Servers
from tasks.resources.run_resources import RunResources
from tests.support.tiny_factory import tiny


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return error_of(Failure.model_validate_json(failure_of(caught).model_dump_json()), "node 7")


@pytest.mark.parametrize(
    "error",
    [StorageFault("shard x is corrupt"), PolicyFault("no key"), Stopped(), ConnectionError("reset"), ValueError()],
)  # fmt: skip
def test_an_error_arrives_with_its_type_and_its_text(error: Exception) -> None:
    again = raised(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert "on node 7:" in again.__notes__[0]
    assert "raise error" in again.__notes__[0]


def test_an_error_that_is_more_than_a_text_names_its_type() -> None:
    again = raised(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    assert type(again) is RuntimeError
    assert str(again).startswith("UnicodeDecodeError: 'utf-8' codec")


def test_what_another_process_may_spend_is_a_part_of_the_budget() -> None:
    part = BudgetTracker(BudgetConfig(rollouts=10), Spent(rollouts=2)).parts(2)[1]
    sent = Allowance.model_validate_json(part.allowance().model_dump_json())
    saved: list[Spent] = []
    there = BudgetTracker.allowed(sent, saved.append)
    assert there.affordable(100) == 4
    there.charge(3, 30, 1.5)
    assert not saved, "nothing is on disk yet"
    there.mark_saved()
    assert saved == [Spent(rollouts=3, tokens=30, seconds=1.5)]
    assert there.affordable(100) == 1
    there.charge(1, 10, 0.5)
    assert there.affordable(100) == 0
    assert there.limit_reached == "budget.rollouts = 10"


def test_a_batch_that_is_made_again_may_spend_what_is_left() -> None:
    part = BudgetTracker(BudgetConfig(rollouts=10)).parts(1)[0]
    part.charge(7, 70, 1.0)
    part.mark_saved()
    saved: list[Spent] = []
    there = BudgetTracker.allowed(part.allowance(), saved.append)
    assert there.affordable(100) == 3
    there.charge(3, 30, 1.0)
    there.mark_saved()
    assert saved[0].rollouts == 3, "what was charged before is not told again"


def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits_for: str) -> tuple[dict[str, str], str]:
    """The keys that go with an order, and its configuration as text."""
    monkeypatch.setenv("POLICY_KEY", "policy-secret")
    monkeypatch.setenv("REFLECTOR_KEY", "reflector-secret")
    config = tiny(
        tmp_path,
        *("policy.engine=openai", "execution.server.base_urls=['http://10.0.0.7:8000/v1']"),
        *("execution.server.key_env=POLICY_KEY", "execution.reflector.key_env=REFLECTOR_KEY"),
        *("calibration.reflector=llm", "calibration.model=m", "execution.runner=ray"),
    )
    resources = RunResources(config)
    order = Order("any", "1", waits_for, {"checkpoint": "0" * 64}, BatchContext({}, resources))
    there, keys = Servers(config, resources).configured(order)
    return keys, there.model_dump_json()


@pytest.mark.parametrize(
    ("waits_for", "keys"),
    [
        ("policy", {SERVER_KEY: "policy-secret"}),
        ("reflector", {REFLECTOR_KEY: "reflector-secret"}),
        ("judge", {REFLECTOR_KEY: "reflector-secret"}),
        ("", {}),
    ],
)
def test_an_actor_gets_the_key_that_its_batch_needs_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits_for: str, keys: dict[str, str]
) -> None:
    given, config = sent(tmp_path, monkeypatch, waits_for)
    assert given == keys
    assert "secret" not in config.replace("key_secret", "")


def test_a_missing_key_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        tmp_path,
        *("policy.engine=openai", "execution.server.base_urls=['http://10.0.0.7:8000/v1']"),
        "execution.server.key_env=NO_SUCH_KEY",
    )
    resources = RunResources(config)
    order = Order("any", "1", "policy", {"checkpoint": "0" * 64}, BatchContext({}, resources))
    with pytest.raises(PolicyFault, match="NO_SUCH_KEY"):
        Servers(config, resources).configured(order)


def test_an_actor_forgets_the_secrets_of_the_environment_that_it_was_started_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "secret")
        patch.setenv("STECA_HARMLESS", "kept")
        BatchActor()
        assert "OPENAI_API_KEY" not in os.environ
        assert os.environ["STECA_HARMLESS"] == "kept"


def test_a_node_with_another_data_folder_says_so(tmp_path: Path) -> None:
    token = tmp_path / "token"
    place = Place(folder=".", data=str(tmp_path), token=str(token), content="abc")
    missing = look_around(place.model_dump_json())
    assert missing.count("\n") == 0
    assert f"does not see the data folder {tmp_path}: put data_dir on a file system that all nodes" in missing
    token.write_text("another")
    assert look_around(place.model_dump_json()) == missing
    token.write_text("abc")
    assert look_around(place.model_dump_json()) == ""


def test_another_version_of_a_cached_task_is_refused(tmp_path: Path) -> None:
    from tasks.ray.messages import Answer, SentOrder

    config = tiny(tmp_path)
    order = SentOrder(
        task="explore", version="0", inputs={}, refs={}, config=config, scorers={}, force=False,
        allowance=BudgetTracker().allowance(),
    )  # fmt: skip
    answer = Answer.model_validate_json(BatchActor().run(order.model_dump_json(), {}))
    assert answer.failure
    assert answer.failure.kind == "tasks.ray.faults:RunnerFault"
    assert "use the same checkout on all nodes" in answer.failure.text
