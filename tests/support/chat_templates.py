"""Chat templates for tests: one for each thing that a template may do, and those that TRL ships.

No weights and no real tokenizer are needed: a small one has the special tokens of any template.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from models.local.tokenizer import CHAT_TEMPLATE
from models.policy import Message
from tests.support.policy_toys import said

_BODY = (
    "{% for m in messages %}<|{{ m.role }}|>\n"
    "{% if m.role == 'assistant' %}%TURN%{% else %}{{ m.content }}<|end|>\n{% endif %}{% endfor %}"
)
_ASKS = "{% if add_generation_prompt %}<|assistant|>\n%PROMPT%{% endif %}"


def _written(turn: str, prompt: str = "", after: str = "") -> str:
    return _BODY.replace("%TURN%", turn) + _ASKS.replace("%PROMPT%", prompt) + after


_LAST_THINKS = (
    "{% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content.split('</think>')[-1] }}<|end|>\n"
)
OWN_TEMPLATES = {
    "appends": CHAT_TEMPLATE,
    "drops thinking": _written(
        _LAST_THINKS,
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
    ),
    "thinks when told": _written(
        _LAST_THINKS, "{% if thinking is defined and thinking %}<think>\n{% else %}</think>\n\n{% endif %}"
    ),
    "opens a block": _written("{{ m.content.split('</think>')[-1] }}<|end|>\n", "<think>\n"),
    "ends the last message twice": _written(
        "{{ m.content }}<|end|>\n", after="{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"
    ),
    "writes a header": _written(
        "<|channel|>final<|message|>{{ m.content }}{{ '<|return|>' if loop.last else '<|end|>' }}"
    ),
    "ends no turn": _written("{{ m.content }}"),
    "trims": _written("{{ m.content | trim }}<|end|>"),
    "tells how long it is": "{{ messages | length }}" + CHAT_TEMPLATE,
    "keeps two messages": "{% set messages = messages[-2:] %}" + _written("{{ m.content }}<|end|>\n"),
}
"""One template for each thing that templates do besides rendering messages."""
UNUSABLE_TEMPLATES = {
    "wants parts": _written("{% for part in m.content %}{{ part.text }}{% endfor %}<|end|>"),
    "alters turns": _written("{{ m.content | upper }}<|end|>"),
    "fails": _written("{{ raise_exception('assistant turns are not allowed') }}"),
}
"""Templates with which no policy can be trained, by what is wrong."""
KINDS = ("newlines", "gpt-2", "spaces")
_NEWLINES = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = re.compile(
    r"<[|｜][^|｜<>{}\s]{1,40}[|｜]>|</s>|<(?:start|end)_of_turn>|<\|turn>|<turn\|>|</?think>"
)


@cache
def shipped() -> dict[str, str]:
    """The chat templates of current models from TRL, without those that TRL has rewritten; {} without TRL."""
    found = find_spec("trl")
    folders = [Path(place) / "chat_templates" for place in (found and found.submodule_search_locations) or ()]
    files = {file.stem: file.read_text() for folder in folders for file in sorted(folder.glob("*.jinja"))}
    return {name: text for name, text in files.items() if not name.endswith("_training")}


@cache
def words_for(template: str, kind: str = "newlines") -> PreTrainedTokenizerFast:
    """A tokenizer with the template and its special tokens. Kinds: `spaces` belong to words, as in SentencePiece; bytes
    cut as GPT-2 does, where two newlines before a word are no token; bytes where `newlines` stay together (Qwen)."""
    backend = Tokenizer(BPE(unk_token="<unk>" if kind == "spaces" else None))
    if kind == "spaces":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Metaspace()
        letters = [chr(c) for c in range(33, 127)] + ["\n", "▁"]
    else:
        cut = pre_tokenizers.Split(Regex(_NEWLINES), behavior="isolated")
        in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt-2")
        backend.pre_tokenizer = pre_tokenizers.Sequence([cut, in_bytes] if kind == "newlines" else [in_bytes])
        backend.decoder = decoders.ByteLevel()
        letters = pre_tokenizers.ByteLevel.alphabet()
    texts = [m["content"] + "\n\n" for i in range(9) for m in conversation(i)] + [template]
    trainer = BpeTrainer(
        vocab_size=900, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=letters, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    words = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=template
    )
    marks = sorted(set(SPECIAL.findall(template)) | set(SPECIAL.findall(CHAT_TEMPLATE)))
    words.add_tokens([AddedToken(m, special="think" not in m, normalized=False) for m in marks])
    return words


def conversation(turns: int) -> list[Message]:
    """This many turns, each after an observation, and a last observation."""
    texts: list[str] = []
    for i in range(turns):
        texts += [f"You see shelf {i}.", f"Thought: I look at shelf {i}.\nAction: go to shelf {i}"]
    return said(*texts, "Nothing happens.")
