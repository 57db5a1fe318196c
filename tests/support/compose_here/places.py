"""Where things are that a container engine would give each container: its address and its folders."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OWN = re.compile(r"\b(?:127\.0\.0\.1|0\.0\.0\.0)\b")


@dataclass(frozen=True)
class Places:
    """`addresses`: by service. `folders`: by their path in a container."""

    addresses: Mapping[str, str]
    folders: Mapping[str, Path]

    def here(self, service: str, text: str) -> str:
        """A text of the compose file or the Dockerfile as it is meant on this machine."""
        text = OWN.sub(self.addresses[service], text)
        for name, address in self.addresses.items():
            text = re.sub(rf"(?<=[/@]){name}(?=:\d)", address, text)
        for inside in sorted(self.folders, key=len, reverse=True):
            text = re.sub(rf"(?<![\w/.]){inside}(?![\w.])", str(self.folders[inside]), text)
        return text


def free_addresses(services: list[str], ports: list[int]) -> dict[str, str]:
    """A loopback address for each service on which all the ports are free. Raises OSError where this system has no
    loopback addresses other than 127.0.0.1."""
    for attempt in range(20):
        network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
        addresses = {name: f"{network}.{number}" for number, name in enumerate(services, 1)}
        try:
            for address in addresses.values():
                for port in ports:
                    with socket.socket() as probe:
                        probe.bind((address, port))
            return addresses
        except OSError:
            if attempt == 19:
                raise
    raise AssertionError
