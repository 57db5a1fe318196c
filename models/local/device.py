"""The device that models run on, and its memory."""

from __future__ import annotations

import gc

import torch

from models.policy import PolicyFault
from steca.vocabulary import Device


def pick_device(device: Device) -> str:
    """`auto` is the GPU if there is one. Raises PolicyFault for `cuda` without a GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise PolicyFault(
            "execution.device is cuda, but this machine has no CUDA device: set it to auto or cpu"
        )
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def release_memory() -> None:
    """Give the memory of models that are no longer in use back to the device: to other processes such as a server, or
    a training that `accelerate launch` starts."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def available_memory(device: torch.device) -> int:
    """Bytes of a CUDA device that this process may still allocate: what is free, and what torch holds unused."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
