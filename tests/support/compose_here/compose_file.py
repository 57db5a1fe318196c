"""The services of docker-compose.yml, with the variables of .env filled in as `docker compose` does it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<more>[^}]*))?\}")


@dataclass(frozen=True)
class Healthcheck:
    """Times in seconds. `command` is what `test` says, as an argument list."""

    command: list[str]
    interval: float
    timeout: float
    retries: int
    start_period: float


@dataclass(frozen=True)
class Service:
    name: str
    image: str
    build: dict[str, Any] | None
    """None where the image is not built here."""
    command: list[str] | None
    """None: that of the image."""
    environment: dict[str, str]
    volumes: list[tuple[str, str]]
    """(volume or folder of the host, folder in the container)"""
    needs: list[str]
    """Services that must be healthy before this one starts."""
    healthcheck: Healthcheck
    stop_seconds: float
    """Between the stop signal and SIGKILL."""


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of .env or .env.example."""
    lines = (line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def read_services(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """The services without a profile, in the order in which they start. Raises ValueError where a variable with `:?` is
    empty."""
    described = _filled(yaml.safe_load(path.read_text()), variables)["services"]
    started = {name: one for name, one in described.items() if "profiles" not in one}
    return {name: _service(name, started[name]) for name in _in_order(started)}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return VARIABLE.sub(lambda match: _value(match, variables), value) if isinstance(value, str) else value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    found = variables.get(match["name"], "")
    if not found and match["how"] == ":?":
        raise ValueError(f"{match['name']}: {match['more']}")
    return found or (match["more"] if match["how"] == ":-" else "")


def _in_order(services: Mapping[str, Any]) -> Iterator[str]:
    """Each service after those that it needs."""
    done: set[str] = set()
    while len(done) < len(services):
        ready = [name for name in services if name not in done and set(_needs(services[name])) <= done]
        if not ready:
            raise ValueError(f"depends_on goes in a circle: {sorted(set(services) - done)}")
        done |= set(ready)
        yield from ready


def _needs(service: Mapping[str, Any]) -> list[str]:
    needed = service.get("depends_on", {})
    unknown = [name for name, how in needed.items() if how != {"condition": "service_healthy"}]
    if unknown:
        raise ValueError(f"depends_on: a condition other than service_healthy for {unknown}")
    return list(needed)


def _service(name: str, described: Mapping[str, Any]) -> Service:
    return Service(
        name=name,
        image=described["image"],
        build=described.get("build"),
        command=described.get("command"),
        environment=dict(described.get("environment", {})),
        volumes=[_volume(each) for each in described.get("volumes", ())],
        needs=_needs(described),
        healthcheck=_healthcheck(described["healthcheck"]),
        stop_seconds=seconds(described.get("stop_grace_period", "10s")),
    )


def _volume(text: str) -> tuple[str, str]:
    source, target = text.split(":")[:2]
    return source, target


def _healthcheck(described: Mapping[str, Any]) -> Healthcheck:
    kind, *rest = described["test"]
    return Healthcheck(
        command=["sh", "-c", *rest] if kind == "CMD-SHELL" else rest,
        interval=seconds(described["interval"]),
        timeout=seconds(described["timeout"]),
        retries=described["retries"],
        start_period=seconds(described.get("start_period", "0s")),
    )


def seconds(text: str) -> float:
    """A duration of a compose file, such as 90s or 5m."""
    match = re.fullmatch(r"(\d+)(s|m)", text)
    if match is None:
        raise ValueError(f"not a duration in seconds or minutes: {text!r}")
    return float(match[1]) * (60 if match[2] == "m" else 1)
