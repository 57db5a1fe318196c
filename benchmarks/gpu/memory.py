"""The memory of a CUDA device, for `benchmarks.gpu`."""

from __future__ import annotations

import gc
from typing import Any

import torch

GB = 1e9


def free_memory() -> None:
    """Give back what no longer is in use, and measure peaks from here on."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> dict[str, Any]:
    """The peaks since `free_memory`, in GB of 1e9 bytes, and the share of the card's memory that torch had reserved;
    {} on a CPU."""
    if device != "cuda":
        return {}
    reserved = torch.cuda.max_memory_reserved()
    total = torch.cuda.get_device_properties(0).total_memory
    return {
        "allocated_gb": round(torch.cuda.max_memory_allocated() / GB, 2),
        "reserved_gb": round(reserved / GB, 2),
        "card_gb": round(total / GB, 2),
        "share_of_card": round(reserved / total, 4),
    }
