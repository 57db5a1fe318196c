"""The small policy's own tokenizer: byte-level BPE in which an entity name ("shelf 3") is one token.

A pre-token is a word together with a number that follows it, each with its leading space; byte-level BPE inside
the pre-tokens loses no text. The chat template is append-only: a longer conversation starts with exactly the
tokens of a shorter one, so that a rollout engine may keep what it has computed.
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
PRE_TOKEN = r" ?\p{L}+ \p{N}+| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PLAIN_NAME = re.compile(r"[^\W\d_]+( \d+)?")
# So often does each vocabulary entry count in the corpus, that its merges come before those of chance strings.
_REPEATS = 200


def train_tokenizer(
    texts: Iterable[str], vocabulary: Sequence[str], size: int = 4096
) -> PreTrainedTokenizerFast:
    """Train on a corpus of what is said in a world, and on its vocabulary: each entry becomes one token, with
    and without a leading space. `size` is the largest number of tokens; a small corpus ends below it.
    Raises PolicyFault where `size` is too small for the vocabulary. Deterministic in its arguments."""
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
    """The pre-token pattern; entries that it would cut apart ("living room 2") go in front of it, longest first."""
    odd = sorted((v for v in set(vocabulary) if not _PLAIN_NAME.fullmatch(v)), key=lambda v: (-len(v), v))
    if not odd:
        return PRE_TOKEN
    return rf" ?(?:{'|'.join(re.escape(v) for v in odd)})(?![\p{{L}}\p{{N}}])|{PRE_TOKEN}"


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
