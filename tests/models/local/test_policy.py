"""The local policy generates the turns of plain `generate`, however requests are batched and cached."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from models.checkpoint import load
from models.local.device import pick_device
from models.local.transformers_policy import TransformersPolicy
from models.policy import Generation, History, Message, PolicyFault, Sampling
from tests.support.policy_toys import VOCABULARY, conversation, said, tokenizer, trained, untrained

GREEDY, SAMPLED = Sampling(max_tokens=20), Sampling(1.0, 1.0, 20)


def policy(**options: int) -> TransformersPolicy:
    return TransformersPolicy.from_checkpoint(trained().ref, "cpu", **options)


def act(
    subject: TransformersPolicy, histories: list[list[Message]], sampling: Sampling = GREEDY, first: int = 0
):
    return subject.act(histories, range(first, first + len(histories)), sampling)


def starts(count: int) -> list[list[Message]]:
    """First observations of very different lengths."""
    draws = [random.Random(i) for i in range(count)]
    return [
        said("Visit " + " or ".join(d.choices(VOCABULARY, k=1 + i % 9)) + ".") for i, d in enumerate(draws)
    ]


def grown(histories: list[list[Message]], turns: list[Generation]) -> list[list[Message]]:
    """Each history with its turn and an observation that depends on the turn."""
    return [
        [
            *h,
            {"role": "assistant", "content": t.text},
            {"role": "user", "content": f"Visit {VOCABULARY[len(t.text) % 12]}."},
        ]
        for h, t in zip(histories, turns, strict=True)
    ]


def by_generate(model, words, history: History, max_tokens: int) -> Generation:
    ids = words.apply_chat_template(
        history, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens
    )[0, ids.shape[1] :]
    finish = "stop" if out[-1] == words.eos_token_id else "length"
    return Generation(words.decode(out, skip_special_tokens=True), len(out), finish)


@contextmanager
def fed_tokens(subject: TransformersPolicy) -> Iterator[list[int]]:
    """Counts the tokens (padding included) of every forward pass."""
    counts: list[int] = []
    hook = subject.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: counts.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    yield counts
    hook.remove()


def test_greedy_episodes_are_those_of_plain_generate() -> None:
    model, words = load(trained().ref)
    subject, histories = policy(batch=16), starts(40)
    finishes = set()
    for cap in (20, 4, 20):
        turns = act(subject, histories, Sampling(max_tokens=cap))
        assert turns == [by_generate(model, words, h, cap) for h in histories]
        finishes |= {turn.finish for turn in turns}
        histories = grown(histories, turns)
    assert finishes == {"stop", "length"}, "both ends of a turn should occur here"
    assert len({h[1]["content"] for h in histories}) > 5


def test_a_sampled_turn_depends_on_its_history_and_seed_alone() -> None:
    histories = starts(40)
    histories = grown(histories, act(policy(), histories))
    together = act(policy(), histories, SAMPLED)
    assert len({turn.text for turn in together}) > 10
    one_by_one = policy(batch=1)
    assert [one_by_one.act([h], [i], SAMPLED)[0] for i, h in enumerate(histories)] == together
    backwards = policy(batch=7).act(histories[::-1], list(range(40))[::-1], SAMPLED)
    assert backwards[::-1] == together


@pytest.mark.parametrize("cache_bytes", [0, 200_000, 2**30])
def test_what_is_kept_makes_no_difference_to_the_turns(cache_bytes: int) -> None:
    warm, histories = policy(batch=16, cache_bytes=cache_bytes), starts(24)
    for step in range(3):
        turns = act(warm, histories, SAMPLED, 100 * step)
        assert turns == act(policy(), histories, SAMPLED, 100 * step)
        histories = grown(histories, turns)


def test_other_seeds_give_other_turns_and_greedy_ignores_them() -> None:
    branches = [starts(9)[8]] * 30
    assert len({turn.text for turn in act(policy(), branches, SAMPLED)}) > 5
    assert len({turn.text for turn in policy().act(branches, [3] * 30, SAMPLED)}) == 1
    assert len({turn.text for turn in act(policy(), branches)}) == 1


def test_only_what_is_new_is_fed_in_the_next_turn() -> None:
    subject, histories = policy(), [said("Visit shelf 3. " * 20)] * 1
    with fed_tokens(subject) as first:
        turns = act(subject, histories)
    histories = grown(histories, turns)
    with fed_tokens(subject) as second:
        act(subject, histories)
    with fed_tokens(forgetful := policy(cache_bytes=0)) as without:
        act(forgetful, histories)
    assert first[0] > 60
    assert second[0] < 15
    assert without[0] > first[0]


def test_branches_of_one_state_are_computed_once() -> None:
    subject, state = policy(), said("Visit shelf 3. " * 20)
    with fed_tokens(subject) as alone:
        act(subject, [state], Sampling(1.0, 1.0, 1))
    with fed_tokens(fresh := policy()) as five:
        act(fresh, [state] * 5, Sampling(1.0, 1.0, 1))
    assert five == [alone[0], 4]  # the state itself, then one token for each of the others
    with fed_tokens(subject) as warm:
        act(subject, [state] * 5, Sampling(1.0, 1.0, 1))
    assert warm == [5]


def test_prefixes_of_one_run_share_what_they_have_in_common() -> None:
    run = conversation(4, 12)
    prefixes = [run[: 2 * j + 1] for j in range(12)]
    with fed_tokens(subject := policy()) as together:
        turns = act(subject, prefixes, Sampling(max_tokens=1))
    with fed_tokens(apart := policy(cache_bytes=0, batch=1)) as separate:
        assert act(apart, prefixes, Sampling(max_tokens=1)) == turns
    assert sum(together) < sum(separate) / 2


def test_a_turn_ends_at_the_end_token_or_at_max_tokens() -> None:
    stopped = policy().act([said("Visit shelf 3.")], [0], GREEDY)[0]
    assert stopped == Generation("Thought: I look at shelf 3.\nAction: go to shelf 3", stopped.tokens, "stop")
    short = policy().act([said("Visit shelf 3.")], [0], Sampling(max_tokens=3))[0]
    assert (short.tokens, short.finish) == (3, "length")
    assert stopped.text.startswith(short.text)


def test_a_history_beyond_the_context_is_answered_by_an_empty_turn() -> None:
    subject = policy()
    long, short = said("Visit shelf 3. " * 100), said("Visit shelf 3.")
    answers = subject.act([long, short], [0, 1], GREEDY)
    assert answers[0] == Generation("", 0, "length")
    assert answers[1].finish == "stop"


def test_a_turn_fills_the_context_to_the_last_token_and_no_further() -> None:
    subject, words = policy(), tokenizer()
    history = said("Visit shelf 3." + " x" * 300)
    while (
        size := len(words.apply_chat_template(history, add_generation_prompt=True, return_dict=False))
    ) > 253:
        history = said(history[0]["content"][: -2 * max(1, (size - 253) // 3)])
    turn = subject.act([history], [0], GREEDY)[0]
    assert turn == by_generate(*load(trained().ref), history, 256 - size)
    assert (turn.tokens, turn.finish) == (256 - size, "length")


def test_no_requests_no_turns() -> None:
    assert policy().act([], [], GREEDY) == []


def test_the_digest_is_the_checkpoints() -> None:
    assert policy().digest == trained().ref.digest != untrained().digest


def test_a_missing_seed_and_a_missing_template_are_refused() -> None:
    with pytest.raises(PolicyFault, match="2 histories but 1 seeds"):
        policy().act(starts(2), [0], GREEDY)
    model, words = load(trained().ref)
    words.chat_template = None
    with pytest.raises(PolicyFault, match="checkpoint 0123 has no chat template"):
        TransformersPolicy(model, words, "0123")


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(PolicyFault, match=r"this machine has no CUDA device"):
        pick_device("cuda")
    assert pick_device("auto") == "cpu"
