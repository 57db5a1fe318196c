"""A policy that thinks before its turns: only what comes after is played, seen again and trained on; all is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from configs.cache_inputs import GENERATION_SETTINGS, cache_key_settings, run_id_settings
from configs.faults import ConfigFault
from configs.load import check, load_config
from configs.schema import FactoryConfig
from configs.training import TrainingConfig
from environments.registry import open_world
from models.chat_templates import ChatTemplate
from models.checkpoint import CheckpointRef, load
from models.local.transformers_policy import TransformersPolicy
from models.local.turns import TurnReader
from models.policy import Generation, History, Sampling
from models.served.openai_policy import OpenAIPolicy, turn_regex
from models.thinking import TurnFormat
from models.training.examples import Example
from models.training.train import train
from rollouts.comparisons import _basis
from rollouts.play import EpisodeSettings, play, sampling_of, start_of
from rollouts.rows import of_type, stored_trajectories, trajectory_records
from rollouts.stages.score import score
from storage.ids import content_id
from storage.records import RolloutRecord, StepRecord
from tasks.stage_tasks import train_batch, warmup_batch
from tests.models.local.test_policy import act, by_generate, grown, starts
from tests.rollouts.test_score import CONFIG, FRAGILE, explored
from tests.support.chat_templates import OWN_TEMPLATES, words_for
from tests.support.endpoints import MODEL, endpoint_of
from tests.support.fake_openai.replies import json_reply
from tests.support.fake_openai.server import FakeOpenAI
from tests.support.policy_toys import VOCABULARY, conversation, rewriting_model, said, turn, untrained
from tests.support.rollouts_toys import GREEDY, Toy, config, like_expert, tasks, world

ANSWER = "Thought: I look.\nAction: go to shelf 1"
ALOUD = "I could say\nAction: inventory"


def read(template: str, text: str, thinking: bool = False, end: str = "<|end|>") -> tuple[Generation, int]:
    """What is read when the model writes a text after the template's prompt, and how many tokens it has."""
    words = words_for(OWN_TEMPLATES[template])
    tokens = words(text + end, add_special_tokens=False)["input_ids"]
    return TurnReader(words, ChatTemplate(words, thinking)).read(tokens, bool(end)), len(tokens)


@pytest.mark.parametrize("template", ["appends", "drops thinking", "opens a block", "trims"])
@pytest.mark.parametrize("thinking", [False, True])
def test_a_line_inside_the_block_is_never_the_turn(template: str, thinking: bool) -> None:
    turn, size = read(template, f"<think>\n{ALOUD}\n</think>\n\n{ANSWER}", thinking)
    assert (turn.text, turn.thinking, turn.finish) == (ANSWER, ALOUD, "stop")
    words = words_for(OWN_TEMPLATES[template])
    assert turn.thinking_tokens == size - len(
        words(f"{ANSWER}<|end|>", add_special_tokens=False)["input_ids"]
    )
    assert turn.tokens == size


def test_a_block_that_never_ends_is_an_empty_turn_that_was_cut_off() -> None:
    for template, text in (("drops thinking", f"<think>\n{ALOUD}"), ("opens a block", ALOUD)):
        turn, size = read(template, text, True, end="")
        assert turn == Generation("", size, "length", ALOUD, size)
    turn, size = read("drops thinking", ALOUD, True, end="")
    assert turn == Generation(ALOUD, size, "length"), "nothing says that this is thinking"


def test_an_empty_block_that_a_model_closes_is_no_thinking() -> None:
    turn, size = read("opens a block", f"\n</think>\n\n{ANSWER}")
    assert turn == Generation(ANSWER, size, "stop")
    turn, size = read("drops thinking", f"<think>\n\n</think>\n\n{ANSWER}", True)
    assert turn == Generation(ANSWER, size, "stop")


def test_marks_that_are_special_tokens_are_found_and_leave_nothing_behind() -> None:
    analysis = (
        f"<|channel|>analysis<|message|>{ALOUD}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}"
    )
    turn, _ = read("writes a header", analysis, end="<|return|>")
    assert (turn.text, turn.thinking) == (ANSWER, ALOUD)
    turn, _ = read("writes a header", f"<|channel|>final<|message|>{ANSWER}", end="<|return|>")
    assert (turn.text, turn.thinking) == (ANSWER, "")


def test_a_turn_without_thinking_stands_as_it_was_written() -> None:
    for text in (f"\n{ANSWER} ", "", "Action: write </thinking", f"{ANSWER}\n<think>late</think>"):
        turn, size = read("drops thinking", text)
        assert turn == Generation(text, size, "stop")


@cache
def thinker() -> CheckpointRef:
    """The tiny model after it has learned to think of the place first."""

    def aloud(example: History) -> History:
        texts = [m["content"] for m in example]
        place = texts[0].removeprefix("Visit ").removesuffix(".")
        return said(texts[0], f"<think>\nAction: go to {place}\n</think>\n\n{texts[1]}")

    given = [Example(f"e{i}", aloud(conversation(i, 1)), [True]) for i in range(400)]
    learning = TrainingConfig(steps=250, batch_size=16, learning_rate=3e-3)
    return train(untrained(), given, learning, untrained().path.parent, device="cpu").ref


def test_a_thinking_model_continues_from_its_turns_without_thinking() -> None:
    """The whole engine, its kept keys and values too: another engine that keeps none writes the same."""
    for sampling in (Sampling(max_tokens=60, thinking=True), Sampling(max_tokens=60)):
        kept, histories = TransformersPolicy.from_checkpoint(thinker(), "cpu"), starts(12)
        for _ in range(3):
            turns = act(kept, histories, sampling)
            fresh = TransformersPolicy.from_checkpoint(thinker(), "cpu", cache_bytes=0)
            assert turns == act(fresh, histories, sampling)
            histories = grown(histories, turns)
    places = [said(f"Visit {place}.") for place in VOCABULARY]
    answers = act(TransformersPolicy.from_checkpoint(thinker(), "cpu"), places, Sampling(max_tokens=60))
    right = [a for a, place in zip(answers, VOCABULARY, strict=True) if a.text == turn(place) and a.thinking]
    assert len(right) >= 10, answers
    assert all(0 < a.thinking_tokens < a.tokens for a in right)


def test_what_was_kept_is_right_also_where_the_template_rewrites_earlier_turns() -> None:
    model, words = load(rewriting_model())
    subject, histories = TransformersPolicy(model, words, "x"), starts(12)
    for _ in range(4):
        turns = act(subject, histories, Sampling(max_tokens=8))
        assert turns == [by_generate(model, words, history, 8) for history in histories]
        histories = grown(histories, turns)


def answering(text: str, **message: str) -> FakeOpenAI:
    class Server(FakeOpenAI):
        def _honest(self, record):  # type: ignore[no-untyped-def]
            reply = super()._honest(record)
            data = json.loads(reply.body)
            data["choices"][0]["message"] |= {"content": text, **message}
            data["usage"]["completion_tokens"] = 40
            return json_reply(200, data)

    return Server(MODEL, dialect="vllm")


def ask_served(server: FakeOpenAI, how: TurnFormat | None = None, **sampling: object) -> Generation:
    formats = {} if how is None else {"turn_format": lambda thinking: how}
    policy = OpenAIPolicy(endpoint_of(server), MODEL, **formats)
    try:
        return policy.act([said("You see shelf 1.")], [0], Sampling(**{"max_tokens": 60, **sampling}))[0]
    finally:
        policy.close()


def test_a_served_models_thinking_is_separated_in_either_form() -> None:
    with answering(f"<think>\n{ALOUD}\n</think>\n\n{ANSWER}") as server:
        assert ask_served(server) == Generation(ANSWER, 40, "stop", ALOUD, 5)
    for name in ("reasoning", "reasoning_content"):
        with answering(ANSWER, **{name: ALOUD}) as server:
            assert ask_served(server) == Generation(ANSWER, 40, "stop", ALOUD, 5)
    with answering(ALOUD) as server:
        assert ask_served(server, TurnFormat(opened="<think>\n")) == Generation("", 40, "stop", ALOUD, 40)
    with answering(ANSWER) as server:
        assert ask_served(server) == Generation(ANSWER, 40, "stop")


def test_a_request_has_the_thinking_switches_of_the_template_and_no_others() -> None:
    for name in OWN_TEMPLATES:
        for thinking in (False, True):
            how = ChatTemplate(words_for(OWN_TEMPLATES[name]), thinking).format
            with answering(ANSWER) as server:
                ask_served(server, how, thinking=thinking)
                assert server.refusals == []
                told = server.requests[0].body.get("chat_template_kwargs")
            wanted = {"drops thinking": "enable_thinking", "thinks when told": "thinking"}.get(name)
            assert told == ({wanted: thinking} if wanted else None)


def test_a_constrained_turn_first_ends_the_block_that_the_prompt_opened() -> None:
    how = ChatTemplate(words_for(OWN_TEMPLATES["opens a block"])).format
    assert turn_regex(["look"], how.lead) == "\\n</think>\\n\\n" + turn_regex(["look"])
    assert ChatTemplate(words_for(OWN_TEMPLATES["appends"])).format.lead == ""


class Thinker(Toy):
    """The expert, thinking a line of action before every other turn."""

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        assert not any("inventory" in m["content"] for h in histories for m in h if m["role"] == "assistant")
        return [
            replace(g, thinking=ALOUD, thinking_tokens=3) if len(h) % 4 == 1 else g
            for g, h in zip(super().act(histories, seeds, sampling), histories, strict=True)
        ]


def test_thinking_is_stored_with_its_step_and_is_in_no_history() -> None:
    [run] = play(
        world(),
        Thinker(like_expert),
        [start_of(world(), tasks(1)[0])],
        GREEDY,
        EpisodeSettings.of(config()),
    )
    identity, records = trajectory_records(run, "explored", "toy")
    steps = of_type(records, StepRecord)
    assert len(steps) > 2
    for row in steps:
        expected = (ALOUD, 3) if row.step_index % 2 == 0 else (None, None)
        assert (row.thinking, row.thinking_tokens) == expected
        assert (row.tokens, "inventory" in row.text) == (7, False)
    assert stored_trajectories(records)[0].trajectory == run.trajectory
    silent = tuple(replace(step, thinking="", thinking_tokens=0) for step in run.trajectory.steps)
    other = replace(run, trajectory=replace(run.trajectory, steps=silent))
    assert trajectory_records(other, "explored", "toy")[0] != identity


def test_the_tokens_of_thinking_in_rollouts_are_counted() -> None:
    records = explored(FRAGILE, 3)
    rows = of_type(score(world(), Thinker(FRAGILE), records, CONFIG), RolloutRecord)
    plain = of_type(score(world(), Toy(FRAGILE), records, CONFIG), RolloutRecord)
    assert len(rows) == len(plain) > 0
    assert {row.thinking_tokens for row in plain} == {None}
    assert any(row.thinking_tokens for row in rows)
    for row in rows:
        assert (row.thinking_tokens or 0) % 3 == 0
        assert (row.thinking_tokens or 0) // 3 in (row.n_steps // 2, row.n_steps - row.n_steps // 2)


IDS_OF_0_3_0 = {
    "transformers": ("87b4379378a2bc62", "19a697fac69609f3", "a6c52c8408b59fc4"),
    "openai": ("a2f398c982d55dae", "a7656fe8736a1691", "699ff7304f950599"),
}


@pytest.mark.parametrize("engine", IDS_OF_0_3_0)
def test_without_thinking_runs_keys_and_rollouts_have_the_ids_of_older_versions(engine: str) -> None:
    world = open_world(FactoryConfig().environment)

    def ids(given: FactoryConfig) -> tuple[str, ...]:
        key = cache_key_settings(given, ["seed", "environment", *GENERATION_SETTINGS])
        return tuple(map(content_id, (run_id_settings(given), key, _basis(given, "s", world))))

    defaults = {"rewards": {"mode": "sequential"}, "deviation": {"preset": "sequential"}}  # those of 0.3.0
    plain = check({"policy": {"engine": engine}, **defaults}, "test")
    assert ids(plain) == IDS_OF_0_3_0[engine]
    thinking = check({"policy": {"engine": engine, "thinking": "on"}, **defaults}, "test")
    longer_policy = {"engine": engine, "thinking": "on", "max_thinking_tokens": 2048}
    longer = check({"policy": longer_policy, **defaults}, "test")
    for one, two, three in zip(ids(plain), ids(thinking), ids(longer), strict=True):
        assert len({one, two, three}) == 3
    for stage in (warmup_batch, train_batch):
        assert "policy.thinking" in stage.reads


def test_thinking_takes_tokens_of_its_own_and_no_constraint() -> None:
    def sampling(**policy: object) -> Sampling:
        return sampling_of(check({"policy": policy}, "test"))

    assert sampling() == sampling(max_thinking_tokens=9) == Sampling(max_tokens=48)
    assert sampling(thinking="on", max_thinking_tokens=500) == Sampling(max_tokens=548, thinking=True)
    for written, read_as in (("on", "on"), ("off", "off"), ("'on'", "on"), ("true", "on")):
        assert load_config(None, [f"policy.thinking={written}"]).policy.thinking == read_as
    with pytest.raises(ConfigFault, match=r"policy\.thinking: got 1; allowed: one of off, on"):
        load_config(None, ["policy.thinking=1"])
    with pytest.raises(ConfigFault, match="constrain: admissible leaves no room for thinking"):
        check({"policy": {"engine": "openai", "thinking": "on", "constrain": "admissible"}}, "test")
