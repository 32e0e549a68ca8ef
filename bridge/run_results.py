"""What a sampler run leaves behind, found again by the latent that the run returned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
from torch.utils.weak import WeakTensorKeyDictionary

Value = TypeVar("Value")


class RunResults(Generic[Value]):
    """One value a run, kept as long as the latent [B, C, H, W] that the run returned; the latest run's is kept anyway.

    A latent is recognised by itself, or as a copy that is equal to the last bit. Samplers hand on two: the latent, and
    the last step's estimate of it (`denoised_output`).
    """

    def __init__(self):
        self._runs: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._latest: torch.Tensor | None = None

    def put(self, latent: torch.Tensor, estimate: torch.Tensor | None, value: Value) -> None:
        """A run has returned ``latent``."""
        self._runs[latent] = (estimate, value)
        self._latest = latent

    def get(self, latent: torch.Tensor) -> Value | None:
        """The value of the run that ``latent`` comes from, unchanged; None where it comes from none that is known."""
        if latent in self._runs:
            return self._runs[latent][1]
        for known, (estimate, value) in self._newest_first():
            if _equal(latent, known) or (estimate is not None and _equal(latent, estimate)):
                return value
        return None

    def forget_latest(self) -> None:
        """Keep the latest run's value no longer than its latent."""
        self._latest = None

    def _newest_first(self) -> Iterator[tuple]:
        return reversed(list(self._runs.items()))


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a.device, a.dtype))


class Estimate:
    """Stands in for a sampler's progress ``callback``, and remembers what the last step's estimate is as a latent."""

    def __init__(self, guider, callback):
        self._guider, self._callback, self._clean = guider, callback, None

    def __call__(self, step: int, denoised: torch.Tensor, *args) -> None:
        self._clean = denoised
        if self._callback:
            self._callback(step, denoised, *args)

    @property
    def latent(self) -> torch.Tensor | None:
        """[B, C, H, W], computed as ComfyUI's custom samplers compute their `denoised_output`."""
        return None if self._clean is None else self._guider.model_patcher.model.process_latent_out(self._clean.cpu())
