"""The training loop: one step after another, and a look at everything between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from .history import LossHistory


class Learner(Protocol):
    """What is trained, and where all of its chance comes from."""

    generator: torch.Generator

    def losses_of_a_draw(self) -> torch.Tensor:
        """The terms [N] of equation 4 on one draw."""


class Optimizer(Protocol):
    """Takes the steps of everything that a learner trains."""

    def step(self, loss: torch.Tensor):
        """Back-propagate ``loss`` and step every parameter."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a later run needs to go on."""

    def load_state(self, tensors: dict[str, torch.Tensor]):
        """Go on from ``state()``; raises KeyError or RuntimeError, before any change, where it does not fit."""


class Training:
    """Everything that a step changes: a learner's weights, its optimizer and the loss history."""

    def __init__(self, learner: Learner, optimizer: Optimizer, history: LossHistory):
        self.learner = learner
        self.optimizer = optimizer
        self.history = history
        self.between_steps = True
        """Whether the weights are those of ``history.step`` steps: within a step some have moved and some have not."""

    def until(self, steps: int) -> Iterator[int]:
        """Step until ``steps`` are done; gives how many are, before every step and after the last.

        Whoever iterates may look at everything between two steps, and end the training by any exception.
        Raises NonFiniteLoss.
        """
        while self.history.step < steps:
            yield self.history.step
            self._step()
            self.history.require_finite()
        self.history.settle()
        self.history.require_finite()
        yield self.history.step

    def _step(self):
        self.between_steps = False
        losses = self.learner.losses_of_a_draw()
        self.optimizer.step(losses.sum())
        self.history.append(losses)
        self.between_steps = True
