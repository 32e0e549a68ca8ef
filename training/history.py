"""The losses of a training, step by step."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import torch


class NonFiniteLoss(RuntimeError):
    """The loss is nan or infinite."""


class LossHistory:
    """Equation 4 and its terms, by their names, at every step done.

    On CUDA a step's losses arrive one step late, so that the device never waits for the host.
    """

    def __init__(self, steps: int, terms: Sequence[str], device: torch.device):
        self.terms = tuple(terms)
        self.step = 0
        self._on_cuda = device.type == "cuda"
        self._values = torch.full((steps, 1 + len(terms)), math.nan, pin_memory=self._on_cuda)
        self._arriving: collections.deque[torch.cuda.Event] = collections.deque()

    def restore(self, losses: torch.Tensor, terms: torch.Tensor | None):
        """Begin with the ``losses`` [k] of steps already done; their ``terms`` [k, N] are nan if nobody noted them."""
        self.step = len(losses)
        self._values[: self.step, 0] = losses
        if terms is not None:
            self._values[: self.step, 1:] = terms

    def append(self, losses: torch.Tensor):
        """Note the terms [N] of one more step and their sum; waits for the step before it."""
        losses = losses.detach()
        self._values[self.step].copy_(torch.cat([losses.sum()[None], losses]), non_blocking=self._on_cuda)
        self.step += 1
        if self._on_cuda:
            self._arriving.append(torch.cuda.Event())
            self._arriving[-1].record()
            if len(self._arriving) > 1:
                self._arriving.popleft().synchronize()

    def settle(self):
        """Wait for the losses still on their way."""
        while self._arriving:
            self._arriving.popleft().synchronize()

    @property
    def arrived(self) -> int:
        """Of how many steps the losses are known."""
        return self.step - len(self._arriving)

    def known(self) -> torch.Tensor:
        """The losses that have arrived, [k]."""
        return self._values[: self.arrived, 0].clone(memory_format=torch.contiguous_format)

    def known_terms(self) -> torch.Tensor:
        """Their terms, [k, N]."""
        return self._values[: self.arrived, 1:].clone()

    def finite_terms(self) -> dict[str, list[float]]:
        """The terms that have arrived, by their names; none unless all of every step are known and finite."""
        known = self.known_terms()
        if not known.isfinite().all():
            return {}
        return dict(zip(self.terms, known.T.tolist(), strict=True))

    def recent(self, steps: int) -> float | None:
        """The mean of the last losses that have arrived, over at most ``steps`` of them."""
        losses = self._values[max(0, self.arrived - steps) : self.arrived, 0]
        return float(losses.mean()) if len(losses) else None

    def require_finite(self):
        """Raise NonFiniteLoss if the newest loss is nan or infinite."""
        newest = self.recent(1)
        if newest is not None and not math.isfinite(newest):
            raise NonFiniteLoss(f"The loss became {newest} at step {self.arrived}")
