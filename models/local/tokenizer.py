"""The small policy's own tokenizer: byte-level BPE whose tokens are names, and whole phrases between names.

An entity name ("shelf 3") and each word of the world's vocabulary is one token, with its leading space. The text
between two names is one pre-token, so BPE merges fixed wording ("is here. I take it.\nAction: take") into one token
too: 2-3 times fewer tokens than with words, and a small policy learns which name goes where instead of spelling. Any
text is encoded and decoded exactly. The chat template is append-only: a longer conversation starts with exactly the
tokens of a shorter one, so a rollout engine can reuse keys and values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from models.policy import PolicyFault

BOS, PAD, END = "<s>", "<pad>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ENTITY = r" ?(?<!\p{L})\p{L}+ \p{N}+(?!\p{N})"
# Each vocabulary entry is repeated this often in the corpus, so that it is merged before chance strings.
_REPEATS = 200


def train_tokenizer(
    texts: Iterable[str], vocabulary: Sequence[str], size: int = 4096
) -> PreTrainedTokenizerFast:
    """Train on a corpus of a world's texts and on its vocabulary of names (entities, types, states): each becomes one
    token, with and without a leading space. `size` is the maximum number of tokens; a small corpus gives fewer. Raises
    PolicyFault if `size` is too small for the vocabulary. Deterministic in its arguments."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_pattern(vocabulary)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[PAD, BOS, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_corpus(texts, vocabulary), trainer)
    _check_single(backend, vocabulary, size)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _pattern(vocabulary: Sequence[str]) -> str:
    """A regular expression for the pre-tokens: vocabulary entries, the longest first, and any `<word> <number>`; the
    text between two of them is a pre-token too."""
    if not vocabulary:
        return ENTITY
    return rf" ?(?<![\p{{L}}\p{{N}}]){_any_of(vocabulary)}(?![\p{{L}}\p{{N}}]| \p{{N}})|{ENTITY}"


def _any_of(words: Iterable[str]) -> str:
    """A regular expression for the longest matching word, as a prefix tree: trying hundreds of words one by one at
    every position would take most of the tokenizing time."""
    branches: dict[str, list[str]] = {}
    for word in sorted(set(words)):
        branches.setdefault(word[:1], []).append(word[1:])
    ends = branches.pop("", None) is not None
    choices = [re.escape(first) + _any_of(rest) for first, rest in branches.items()]
    one = "|".join(choices)
    if len(choices) > 1 or (ends and choices):
        one = f"(?:{one})"
    return f"{one}?" if ends and choices else one


def _corpus(texts: Iterable[str], vocabulary: Sequence[str]) -> Iterator[str]:
    yield from texts
    for entry in vocabulary:
        for _ in range(_REPEATS):
            yield entry
            yield " " + entry


def _check_single(backend: Tokenizer, vocabulary: Sequence[str], size: int) -> None:
    split = [v for v in vocabulary if any(len(backend.encode(s + v).ids) != 1 for s in ("", " "))]
    if split:
        raise PolicyFault(
            f"a tokenizer of {size} tokens cannot hold {len(split)} of {len(vocabulary)} vocabulary entries as "
            f"single tokens, e.g. {split[0]!r}: raise policy.small.vocabulary"
        )
