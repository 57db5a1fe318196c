"""Which models an OpenAI-compatible server serves, and whether one of them is the wanted checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from configs.json_text import parse_json
from models.checkpoint_ref import CheckpointRef, folder_digest
from models.policy import PolicyFault

# No list of models is longer than this.
_MAX_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of a server's list of models. `root` is vLLM's: where it loaded the model from."""

    id: str
    root: str


class ServerUnreachable(PolicyFault):
    """A server that does not answer now; it may be starting."""


def on_this_machine(url: str) -> bool:
    """Whether a URL points to this machine: then its files are ours, and proxies are bypassed. True for all of
    127.0.0.0/8, and for 0.0.0.0, on which servers listen."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def served_name(ref: CheckpointRef) -> str:
    """The name under which a checkpoint is served: it identifies the weights."""
    return ref.digest[:16]


def dtype_of(ref: CheckpointRef) -> str:
    """The dtype that a checkpoint was saved in. vLLM's default would round float32: another policy."""
    settings = parse_json((ref.path / "config.json").read_text())
    return str(settings.get("dtype") or settings.get("torch_dtype") or "auto")


def verify_served(base_url: str, ref: CheckpointRef, key: str = "", timeout: float = 30.0) -> str:
    """The name under which `base_url` serves this checkpoint. Raises PolicyFault if it serves something else.

    A server is trusted if a model's name is the start of the digest, or if it runs on this machine and the folder that
    it names as loaded has the checkpoint's digest.
    """
    models = served_models(base_url, key, timeout)
    for model in models:
        if model.id == served_name(ref):
            return model.id
    for model in models if on_this_machine(base_url) else []:
        if model.root and (folder := Path(model.root)).is_dir() and folder_digest(folder) == ref.digest:
            return model.id
    served = ", ".join(m.id for m in models) or "nothing"
    raise PolicyFault(
        f"{base_url} serves {served}, not checkpoint {ref.path} (digest {ref.digest[:16]}): start it with "
        f"--model {ref.path} --served-model-name {served_name(ref)} --dtype {dtype_of(ref)} --generation-config vllm "
        "--enable-prompt-tokens-details, or leave execution.server.base_urls empty to have servers started for you"
    )


def served_models(base_url: str, key: str = "", timeout: float = 30.0) -> list[ServedModel]:
    """What GET /models lists. Raises ServerUnreachable, or PolicyFault if the server refuses the key or does not speak
    the OpenAI API. The answer's text is never quoted, as it might contain the key."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with _open(request.Request(f"{base_url}/models", headers=headers), timeout) as answer:
            found = parse_json(answer.read(_MAX_BYTES))["data"]
        return [ServedModel(str(m["id"]), str(m.get("root") or "")) for m in found]
    except HTTPError as error:
        fault = ServerUnreachable if error.code >= 500 else PolicyFault
        raise fault(_refusal(base_url, error.code, bool(key))) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ServerUnreachable(
            f"{base_url} cannot be reached ({reason}): start the server, or correct execution.server.base_urls"
        ) from None
    except (HTTPException, ValueError, TypeError, KeyError, AttributeError):
        raise PolicyFault(
            f"{base_url} does not speak the OpenAI API (no list of models at {base_url}/models): "
            "base_urls usually end in /v1"
        ) from None


def _refusal(base_url: str, status: int, keyed: bool) -> str:
    if status in (401, 403):
        fault = "refuses the key" if keyed else "requires a key, and none is set"
        return (
            f"{base_url} {fault} (status {status}): set the variable named by execution.server.key_env, or the "
            "Prefect Secret named by execution.server.key_secret"
        )
    return (
        f"{base_url}/models answers with status {status}: is this an OpenAI-compatible server, and does its base "
        "URL end in /v1?"
    )


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirect could carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _open(asked: request.Request, timeout: float) -> IO[bytes]:
    """Open a URL without following redirects; on this machine also without a proxy."""
    local = on_this_machine(asked.full_url)
    proxies = [request.ProxyHandler({})] if local else []
    answer: IO[bytes] = request.build_opener(_NoRedirect, *proxies).open(asked, timeout=timeout)
    return answer


def is_healthy(base_url: str, timeout: float = 5.0) -> bool:
    """Whether vLLM's /health, beside its /v1, answers 200."""
    try:
        with _open(request.Request(base_url.removesuffix("/v1") + "/health"), timeout):
            return True
    except (OSError, HTTPException):
        return False
