"""What one training step of a UNet in its real size asks of a GPU, counted without data: nothing of it is timed.

A GPU is kept busy by the host only as long as an operation there takes longer than the host needs to start it.
"""

from __future__ import annotations

import collections
import dataclasses
from unittest import mock

import torch
from shared import models
from styo.training.settings import Settings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .counted_memory import Steps, without_data

NO_WORK = ("prim::", "profiler::", *(f"aten::{name}" for name in ("empty", "new_empty", "detach", "_unsafe_view")))
CAST = torch.ops.aten._to_copy.default
SIGMOID, BESIDE_SIGMOID = torch.ops.aten.sigmoid.default, 7
"""Without a device, SiLU's backward pass is made of a sigmoid and so many other operations; there it is one."""


@dataclasses.dataclass
class Work:
    """Operations that a step starts on the device, by phase; the casts among them; FLOPs.

    ``waits`` are optimizers to which the host tells whether all gradients are finite, which it reads from the device.
    """

    forward: int
    backward: int
    optimizer: int
    casts: int
    waits: int
    flops: int


class Started(TorchDispatchMode):
    """Counts the operations that are more than another look at the same memory."""

    def __init__(self):
        super().__init__()
        self.counts: collections.Counter = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view and not function._schema.name.startswith(NO_WORK):
            self.counts[function] += _operations(function, args)
        return function(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        return self.counts.total() - BESIDE_SIGMOID * self.counts[SIGMOID]


def _operations(function, args) -> int:
    """One, but of those on many tensors at once one each if their shapes differ, say matrices and rows."""
    if "_foreach_" not in function._schema.name:
        return 1
    lists = [arg for arg in args if isinstance(arg, list | tuple) and arg and isinstance(arg[0], torch.Tensor)]
    alike = all(len({tensor.shape for tensor in tensors}) == 1 for tensors in zip(*lists, strict=True))
    return 1 if alike else len(lists[0])


def work_of_a_step(settings: Settings, of: models.Unet = models.SD15) -> Work:
    """The work of the second step; the first one also makes what the optimizer remembers."""
    with without_data():
        steps = Steps(settings, of)
        steps.backward(steps.forward())
        return _counted(steps)


def _counted(steps: Steps) -> Work:
    forward, backward, optimizer, flops = Started(), Started(), Started(), FlopCounterMode(display=False)
    step, waits = torch.amp.GradScaler.step, 0

    def counted_step(scaler, stepped):
        nonlocal waits
        waits += not getattr(stepped, "_step_supports_amp_scaling", False)
        with optimizer:
            return step(scaler, stepped)

    with flops, mock.patch.object(torch.amp.GradScaler, "step", counted_step):
        with forward:
            terms = steps.forward()
        with backward:
            steps.backward(terms)
    phases = (forward.total, backward.total - optimizer.total, optimizer.total)
    return Work(*phases, forward.counts[CAST] + backward.counts[CAST], waits, flops.get_total_flops())
