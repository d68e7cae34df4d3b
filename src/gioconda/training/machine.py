"""What every training asks of the machine: threads, devices and processes, and networks laid out and averaged."""

from __future__ import annotations

import logging
import os
from typing import TypeVar

import cv2
import torch
from lightning_fabric import Fabric
from torch import nn

MOST_THREADS = 8  # of the processor, beyond which small networks gain nothing
M = TypeVar("M", bound=nn.Module)


def use_threads(count: int) -> None:
    """Give PyTorch so many threads of the processor, 0: as many as it takes by itself, at most MOST_THREADS."""
    torch.set_num_threads(count or min(MOST_THREADS, torch.get_num_threads()))
    cv2.setNumThreads(1)  # samples are made in threads beside the networks


def launched(accelerator: str, precision: str, *, together: bool = True) -> Fabric:
    """Fabric for this process: alone, or one of those that torchrun has started, on as many machines as there are.

    together: whether such processes take their steps as one; else each is alone.
    """
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its greetings are not for the user's terminal
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    several = together and world > 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=local if several else 1,
        num_nodes=max(world // local, 1) if several else 1,
        strategy="ddp" if several else "auto",
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def lay_out(net: M) -> M:
    """The network in the layout in which convolutions of few channels are fastest."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def follow(averaged: nn.Module, own: nn.Module, index: int, decay: float) -> None:
    """Let averaged weights follow after step `index`, at first faster than by `decay`.

    Buffers are copied: a mean of singular vectors is none.
    """
    decay = min(decay, (1 + index) / (10 + index))
    with torch.no_grad():
        for mine, new in zip(averaged.parameters(), own.parameters(), strict=True):
            mine.lerp_(new.to(mine), 1 - decay)
        for kept, now in zip(averaged.buffers(), own.buffers(), strict=True):
            kept.copy_(now)
