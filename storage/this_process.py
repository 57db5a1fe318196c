"""How a process is named to others that wait for it."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime


def this_process() -> str:
    """Number, machine, and the time now: since then it holds what others wait for."""
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
