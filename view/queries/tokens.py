"""What is trained of an example, token by token: the encoding of the factory's own training."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import cast

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from formats.rows.conversation import ExampleRow
from formats.rows.examples import Examples
from formats.rows.filters import Filters
from formats.rows.reader import reading
from models.policy import Message
from models.training.encoding import IGNORED, Encoder
from models.training.examples import Example
from storage.faults import StorageFault
from storage.files import inside
from view.published import Published, Row

POLICY = """
SELECT path FROM run_checkpoints WHERE run_id = $run ORDER BY role = 'trained' DESC, round DESC LIMIT 1
"""


def tokens(published: Published, run: str, example_id: str) -> Row:
    """{weight, trained, tokens: [text, whether it is a target], ...} of a training example, by the tokenizer of the
    run's policy. Raises StorageFault where the run has no such example, or its policy's files are not here."""
    example, thinking, most = _example(published, run, example_id)
    tokenizer = _tokenizer(published.root, published.row(POLICY, run=run), run)
    turns = [message.target for message in example.messages if message.role == "assistant"]
    chat = [message.chat for message in example.messages]
    encoded = Encoder(tokenizer, most).encode(
        Example(example_id, cast(list[Message], chat), turns, example.weight, thinking)
    )
    targets = [label != IGNORED for label in encoded["labels"]]
    texts = tokenizer.batch_decode([[token] for token in encoded["input_ids"]], skip_special_tokens=False)
    return {
        "weight": example.weight,
        "trained": sum(targets),
        "lengths": encoded["lengths"],
        "tokens": [list(pair) for pair in zip(texts, targets, strict=True)],
    }


def _example(published: Published, run: str, example_id: str) -> tuple[ExampleRow, bool, int]:
    """(the example, whether the policy thinks, the most tokens that an example may have)."""
    found = published.row("SELECT config FROM run_configs WHERE run_id = $run", run=run)
    known = published.row(
        "SELECT example_id FROM run_training_examples WHERE run_id = $run AND example_id = $id LIMIT 1",
        run=run,
        id=example_id,
    )
    if found is None or known is None:
        raise StorageFault(f"run {run} has no training example {example_id}")
    with published.cursor() as cursor, reading(cursor, run, json.loads(found["config"])) as reader:
        condition = f"example_id = '{known['example_id']}'"
        example = next(iter(Examples(reader, Filters(where=condition)).rows()))
        config = reader.config
    return example, config.policy.thinking == "on", config.training.optimization.max_tokens


def _tokenizer(root: Path, checkpoint: Row | None, run: str) -> PreTrainedTokenizerBase:
    folder = inside(root, checkpoint["path"]) if checkpoint else None
    if folder is None or not folder.is_dir():
        raise StorageFault(
            f"the tokenizer of run {run} is not here: its checkpoint {folder or ''} was moved or deleted"
        )
    return _loaded(folder)


@lru_cache(maxsize=4)
def _loaded(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
