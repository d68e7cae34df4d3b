"""Shared by all trainings: threads, devices, processes, memory layout, and the moving average of weights."""

from __future__ import annotations

import logging
import os
from typing import TypeVar

import cv2
import torch
from lightning_fabric import Fabric
from torch import nn

# Names in `torch.cpu.get_capabilities` of instructions for bfloat16
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
# Processor threads; small networks gain nothing from more
MOST_THREADS = 8
M = TypeVar("M", bound=nn.Module)


def use_threads(count: int) -> None:
    """Set the number of PyTorch's processor threads; 0 keeps PyTorch's own choice, at most MOST_THREADS."""
    torch.set_num_threads(count or min(MOST_THREADS, torch.get_num_threads()))
    # Other threads make samples while the networks compute
    cv2.setNumThreads(1)


def fastest_precision(accelerator: str) -> str:
    """Fabric's name of the fastest precision: bf16-mixed, or 32-true on a processor without bfloat16 instructions.

    Such a processor emulates bf16, two to four times slower than float32. With AVX512_BF16, bf16 is 1.7 times faster.
    """
    if accelerator != "cpu" and torch.accelerator.is_available():
        return "bf16-mixed"
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if any(able.get(name) for name in BF16_INSTRUCTIONS) else "32-true"


def cpu_autocast() -> torch.autocast:
    """Autocast to bfloat16 where this processor has instructions for it; float32 stays elsewhere, being faster."""
    return torch.autocast("cpu", torch.bfloat16, enabled=fastest_precision("cpu") == "bf16-mixed")


def launched(accelerator: str, precision: str, *, distributed: bool = True) -> Fabric:
    """Launch Fabric in this process, which runs alone or is one of those that torchrun started.

    Args:
        accelerator: Fabric's name, such as auto, cpu or cuda.
        precision: Fabric's name, or auto for the fastest of this machine.
        distributed: Whether torchrun's processes share each step; if not, each trains alone.

    Returns:
        The launched Fabric.
    """
    # Fabric's messages about itself do not help users
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    several = distributed and world > 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=local if several else 1,
        num_nodes=max(world // local, 1) if several else 1,
        strategy="ddp" if several else "auto",
        precision=fastest_precision(accelerator) if precision == "auto" else precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def to_channels_last(net: M) -> M:
    """Move the network to the memory layout in which convolutions of few channels are fastest; return it."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def update_ema(averaged: nn.Module, own: nn.Module, index: int, decay: float) -> None:
    """Update the exponential moving average of weights.

    Buffers are copied, because the mean of singular vectors is not a singular vector.

    Args:
        averaged: The network that holds the average.
        own: The network in training.
        index: The step just taken, from 0. Early steps average faster than `decay` says.
        decay: The share of the old average that stays, 0..1.
    """
    decay = min(decay, (1 + index) / (10 + index))
    with torch.no_grad():
        for mine, new in zip(averaged.parameters(), own.parameters(), strict=True):
            mine.lerp_(new.to(mine), 1 - decay)
        for kept, now in zip(averaged.buffers(), own.buffers(), strict=True):
            kept.copy_(now)
