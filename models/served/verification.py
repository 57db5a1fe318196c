"""What a server of the OpenAI API serves, and whether it is the checkpoint that is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from models.policy import PolicyFault
from models.reference import CheckpointRef, folder_digest

# No list of models is longer; what is, is something else.
_LONGEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of a server's list of models. `root` is vLLM's: where it loaded the model from."""

    id: str
    root: str


class Unreachable(PolicyFault):
    """A server that cannot be asked now; it may be on its way up."""


def on_this_machine(url: str) -> bool:
    """Whether a URL leads to the loopback interface: then its files are ours, and no proxy leads there. All of
    127.0.0.0/8 does, and the address 0.0.0.0 that a server listens on."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def served_name(ref: CheckpointRef) -> str:
    """The name under which a checkpoint is served: so that its server says which weights it holds."""
    return ref.digest[:16]


def dtype_of(ref: CheckpointRef) -> str:
    """The dtype that a checkpoint was saved in. vLLM's own choice would round float32 weights to 16 bits, and the turns
    would be another policy's."""
    settings = json.loads((ref.path / "config.json").read_text())
    return str(settings.get("dtype") or settings.get("torch_dtype") or "auto")


def verify_served(base_url: str, ref: CheckpointRef, key: str = "", timeout: float = 30.0) -> str:
    """The name to ask `base_url` for this checkpoint by. Raises PolicyFault where it serves something else.

    A server is believed when it names a model by the start of the digest, or when it runs on this machine and the
    folder that it says it has loaded has the checkpoint's content.
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
    """What GET /models lists. Raises PolicyFault where the server cannot be reached, refuses the key, or does not
    speak the OpenAI API; no answer's text is passed on, as it might repeat the key."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with _open(request.Request(f"{base_url}/models", headers=headers), timeout) as answer:
            found = json.loads(answer.read(_LONGEST))["data"]
        return [ServedModel(str(m["id"]), str(m.get("root") or "")) for m in found]
    except HTTPError as error:
        fault = Unreachable if error.code >= 500 else PolicyFault
        raise fault(_refused(base_url, error.code, bool(key))) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(
            f"{base_url} cannot be reached ({reason}): start the server, or mend execution.server.base_urls"
        ) from None
    except (HTTPException, ValueError, TypeError, KeyError, AttributeError):
        raise PolicyFault(
            f"{base_url} does not speak the OpenAI API (no list of models at {base_url}/models): "
            "base_urls end in /v1 as a rule"
        ) from None


def _refused(base_url: str, status: int, keyed: bool) -> str:
    if status in (401, 403):
        fault = "refuses the key that it was given" if keyed else "wants a key and there is none"
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
    """Open a URL without following redirects; on this machine without the proxy of the environment either."""
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
