"""How a process of a training ends: what it has said is there, and nothing else runs."""

from __future__ import annotations

import subprocess
import sys

SAID = """
import atexit
from models.training.distributed.train_job import leave

atexit.register(print, "unwound")
print("said")
leave({code})
"""


def test_a_process_ends_with_its_code_and_without_unwinding() -> None:
    for code in (0, 1):
        ended = subprocess.run([sys.executable, "-c", SAID.format(code=code)], capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (code, "said\n")
