"""The training loop: steps, their losses, and what is kept when one of them is the last."""

from __future__ import annotations

import collections
import logging
import math
from collections.abc import Callable, Sequence

import torch

from .optimizer import BackwardAdam


class NonFiniteLoss(RuntimeError):
    """The loss is nan or infinite."""


class LossHistory:
    """The loss of every step done; on CUDA it arrives one step late, so that the device never waits for the host."""

    def __init__(self, steps: int, device: torch.device, losses: Sequence[float] = ()):
        self._on_cuda = device.type == "cuda"
        self._values = torch.zeros(steps, pin_memory=self._on_cuda)
        self._values[: len(losses)] = torch.as_tensor(losses, dtype=torch.float32)
        self._arriving: collections.deque[torch.cuda.Event] = collections.deque()
        self.step = len(losses)

    def append(self, loss: torch.Tensor):
        """Note the loss, a scalar tensor, of one more step; waits for the step before it."""
        self._values[self.step].copy_(loss.detach(), non_blocking=True)
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

    def known(self) -> list[float]:
        """The losses that have arrived."""
        return self._values[: self.step - len(self._arriving)].tolist()

    def newest(self) -> float | None:
        """The last loss that has arrived."""
        known = self.step - len(self._arriving)
        return float(self._values[known - 1]) if known else None

    def require_finite(self):
        """Raise NonFiniteLoss if the newest loss is nan or infinite."""
        newest = self.newest()
        if newest is not None and not math.isfinite(newest):
            raise NonFiniteLoss(f"The loss became {newest} at step {self.step - len(self._arriving)}")


def train(
    loss_of_a_draw: Callable[[], torch.Tensor],
    optimizer: BackwardAdam,
    history: LossHistory,
    steps: int,
    save_every: int,
    save: Callable[[bool], None],
    between_steps: Callable[[LossHistory], None],
):
    """Step until ``history`` holds ``steps`` losses.

    ``between_steps`` runs before every step and may raise to stop. ``save(resumable)`` runs every ``save_every`` steps
    (0: never) and when an exception ends the loop between two steps; after a non-finite loss it is not resumable.
    """
    saved = history.step
    between = True
    try:
        while history.step < steps:
            between_steps(history)
            between = False
            loss = loss_of_a_draw()
            optimizer.step(loss)
            history.append(loss)
            between = True
            history.require_finite()
            if save_every and history.step % save_every == 0 and history.step < steps:
                saved = history.step
                save(True)
        history.settle()
        history.require_finite()
        between_steps(history)
    except BaseException as stopped:
        history.settle()
        if between and history.step > saved:
            _save_what_is_left(save, resumable=not isinstance(stopped, NonFiniteLoss))
        raise


def _save_what_is_left(save: Callable[[bool], None], resumable: bool):
    """Save on the way out, without hiding why the training ended."""
    try:
        save(resumable)
    except OSError as error:
        logging.error("StyO: what was trained could not be saved: %s", error)
