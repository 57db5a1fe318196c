"""Keys come from the environment or a Prefect secret, and go to the server and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import wait_random_exponential

from configs.load import load_config
from configs.servers import EndpointConfig
from models.client import endpoint as endpoints
from models.policy import PolicyFault, Sampling
from models.served.openai_policy import OpenAIPolicy
from tasks.call_log import BatchCallLog
from tasks.preflight import preflight
from tasks.resources.api_keys import key_of
from tests.support.endpoints import KEY, MODEL, ask, endpoint_of
from tests.support.fake_openai.server import FakeOpenAI, Fault

FROM_ENV = EndpointConfig(key_env="STECA_TEST_KEY")


def all_of(error: BaseException | None) -> list[BaseException]:
    """An exception and all that it was raised from or during, shown or not."""
    if error is None:
        return []
    return [error, *all_of(error.__cause__), *all_of(error.__context__)]


def told_by(error: BaseException) -> str:
    """All that a log, a report or a debugger could show of an exception."""
    every = all_of(error)
    shown = [f"{one} {one!r} {one.args} {vars(one)}" for one in every]
    shown += ["".join(traceback.format_exception(one)) for one in every]
    return "\n".join(shown)


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every logger says all that it can."""
    before = {name: logging.getLogger(name).level for name in ("openai", "httpx2", "httpcore2", "asyncio")}
    for name in before:
        logging.getLogger(name).setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    shown = [f"{record.getMessage()} {record.args} {record.exc_text}" for record in caplog.records]
    return "\n".join([*shown, caplog.text])


FAULTS = [
    None,
    Fault.unauthorized(),
    Fault.forbidden(),
    Fault.debug_page(),
    Fault.html(502),
    Fault.drop(),
    Fault.drop_mid_body(),
    Fault.truncated_json(),
    Fault.hang(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name if fault else "wrong_key")
def test_the_key_is_in_no_error_no_log_and_no_file(
    fault: Fault | None, tmp_path: Path, loud: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))
    call_log = BatchCallLog(tmp_path, {}, "b0")
    right = KEY if fault else "sk-another"
    with FakeOpenAI(MODEL, dialect="vllm", key=right, shows_key=True) as server:
        if fault:
            server.plan.fail_when(lambda _: True, fault)
        endpoint = endpoint_of(
            server, call_log=call_log, verify=lambda _: MODEL, patience_seconds=0.2, timeout_seconds=0.3
        )
        policy = OpenAIPolicy(endpoint, MODEL)
        try:
            with pytest.raises(PolicyFault) as caught:
                policy.act([ask(number).messages for number in range(3)], range(3), Sampling())
        finally:
            policy.close()
        sent = {record.headers["authorization"] for record in server.requests}
    assert sent == {f"Bearer {KEY}"}, "the test would find a key that is sent nowhere"
    assert KEY not in told_by(caught.value)
    assert "openai" in {record.name.split(".")[0] for record in loud.records}
    assert KEY not in logged(loud)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in repr(call_log.rows())


def test_the_searches_would_find_a_key(loud: pytest.LogCaptureFixture) -> None:
    logging.getLogger("httpx2").debug("headers %s", {"authorization": f"Bearer {KEY}"})
    assert KEY in logged(loud)
    hidden = PolicyFault("not shown by default, but there")
    hidden.__context__, hidden.__suppress_context__ = ValueError(KEY), True
    assert KEY in told_by(hidden)


def test_a_server_without_a_key_gets_none_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FakeOpenAI(MODEL, dialect="vllm") as server:
        policy = OpenAIPolicy(endpoint_of(server, key=key_of(EndpointConfig(), "execution.server")), MODEL)
        policy.act([ask().messages], [0], Sampling())
        policy.close()
        assert KEY not in repr(server.requests)


def test_a_key_comes_from_its_variable_without_the_line_break_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert key_of(EndpointConfig(), "execution.server") is None
    monkeypatch.setenv("STECA_TEST_KEY", f" {KEY}\n")
    assert key_of(FROM_ENV, "execution.server") == KEY


@pytest.mark.parametrize("wrong", [f"{KEY}\n{KEY}", f"{KEY} {KEY}", f"{KEY}ä", f"{KEY}\x01"])
def test_what_can_be_no_key_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("STECA_TEST_KEY", wrong)
    with pytest.raises(
        PolicyFault, match="the environment variable STECA_TEST_KEY holds no valid key"
    ) as caught:
        key_of(FROM_ENV, "execution.server")
    assert KEY not in told_by(caught.value)


@pytest.mark.parametrize("empty", [None, "", "  \n"])
def test_a_key_that_is_not_there_is_a_fault_that_says_where_it_should_be(
    monkeypatch: pytest.MonkeyPatch, empty: str | None
) -> None:
    monkeypatch.delenv("STECA_TEST_KEY", raising=False)
    if empty is not None:
        monkeypatch.setenv("STECA_TEST_KEY", empty)
    with pytest.raises(
        PolicyFault, match=r"execution\.server has no key: set the environment variable STECA_TEST_KEY"
    ):
        key_of(FROM_ENV, "execution.server")


def secret(name: str) -> EndpointConfig:
    return EndpointConfig(key_env="STECA_TEST_KEY", key_secret=name)


def test_a_key_comes_from_a_prefect_secret_where_the_variable_is_not_set(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow, task
    from prefect.blocks.system import Secret

    monkeypatch.delenv("STECA_TEST_KEY", raising=False)
    Secret(value=f"{KEY}\n").save("steca-test-key", overwrite=True)
    Secret(value=" ").save("steca-empty-key", overwrite=True)
    where = secret("steca-test-key")
    assert key_of(where, "execution.server") == KEY

    @task
    def in_a_task() -> bool:
        return key_of(where, "execution.server") == KEY

    @flow
    def in_a_flow() -> bool:
        return in_a_task() and key_of(where, "execution.server") == KEY

    assert in_a_flow()
    assert asyncio.run(asyncio.to_thread(key_of, where, "execution.server")) == KEY  # type: ignore[comparison-overlap]
    monkeypatch.setenv("STECA_TEST_KEY", "sk-of-the-variable")
    assert key_of(where, "execution.server") == "sk-of-the-variable"
    monkeypatch.delenv("STECA_TEST_KEY")
    with pytest.raises(PolicyFault, match="the Prefect secret steca-empty-key holds no valid key"):
        key_of(secret("steca-empty-key"), "execution.server")
    with pytest.raises(PolicyFault, match="there is no Prefect Secret block 'steca-nowhere'"):
        key_of(secret("steca-nowhere"), "execution.server")


def test_a_key_is_asked_for_only_by_a_method_that_calls_the_reflector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STECA_NO_KEY_HERE", raising=False)
    llm = [
        *("calibration.reflector=llm", "calibration.model=m"),
        "execution.reflector={base_urls: ['http://127.0.0.1:9'], key_env: STECA_NO_KEY_HERE}",
    ]
    preflight(load_config(None, [*llm, "training.method=eto"]))
    with pytest.raises(PolicyFault, match="STECA_NO_KEY_HERE"):
        preflight(load_config(None, llm))
