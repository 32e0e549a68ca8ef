"""Training by several processes that share their gradients: on a CPU one for each core is faster than threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist


def join():
    """Join the processes that torch's launcher (torchrun) has started, if it was it that started this one."""
    if "RANK" in os.environ:
        dist.init_process_group("gloo")


def rank() -> int:
    """Number of this process; 0 is the one that writes and reports."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many share the work."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait():
    """Go on when all processes are here."""
    if processes() > 1:
        dist.barrier()


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Process 0 runs the block before the others, who then find what it has made."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def add_up(tensors: list[torch.Tensor]):
    """Replace each tensor by its sum over all processes."""
    if processes() == 1:
        return
    flat = torch.cat([x.flatten() for x in tensors])
    dist.all_reduce(flat)
    for x, part in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
        x.copy_(part.view_as(x))
