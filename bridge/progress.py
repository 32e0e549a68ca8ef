"""Telling the user how a training goes, and noticing when they cancel it."""

from __future__ import annotations

import time
from collections.abc import Callable

import comfy.model_management
import comfy.utils
from PIL import Image
from tqdm.auto import tqdm

from ..training.history import LossHistory
from .node_text import NodeText

SECONDS_BETWEEN_TEXTS = 0.3
RUNNING_MEAN = 20
"""Steps the shown loss is averaged over: single losses depend mostly on their timestep."""


class TrainingProgress:
    """The node's progress bar, text and picture, and a line in the log.

    It is called between steps and raises once the user cancels. ``draw`` makes the picture every ``draw_every`` steps,
    0 for never.
    """

    def __init__(
        self,
        steps: int,
        done: int,
        text: NodeText,
        draw: Callable[[LossHistory], Image.Image] | None = None,
        draw_every: int = 0,
    ):
        self._steps = steps
        self._text = text
        self._draw, self._draw_every = draw, draw_every
        self._bar = comfy.utils.ProgressBar(steps)
        self._line = tqdm(total=steps, initial=done, desc="StyO IDL", unit="step")
        self._next_text = 0.0
        self._clock = _Clock(steps)

    def __call__(self, history: LossHistory):
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._line.update(history.step - self._line.n)
        self._clock.note(history.step)
        now = time.monotonic()
        loss = history.recent(RUNNING_MEAN)
        if loss is not None and (now >= self._next_text or history.step == self._steps):
            self._next_text = now + SECONDS_BETWEEN_TEXTS
            self._line.set_postfix(loss=f"{loss:.4f}", refresh=False)
            left = self._clock.left()
            parts = [f"step {history.step} of {self._steps}", f"loss {loss:.3f}", *([left] if left else [])]
            self._text.show(", ".join(parts))
        if self._draw_every and history.step and history.step % self._draw_every == 0:
            self._bar.update_absolute(history.step, preview=("JPEG", self._draw(history), None))
        else:
            self._bar.update_absolute(history.step)

    def cancelled(self, saved: int):
        """Say where a later run goes on from, ``saved`` steps being on the disk."""
        self._text.show(
            f"saved at step {saved}; Run goes on from there" if saved else "cancelled before anything was learned"
        )

    def close(self):
        """End the line in the log."""
        self._line.close()


class _Clock:
    """How long a training still takes, as long a step as its steps have taken; the first one, which warms up, aside."""

    def __init__(self, steps: int):
        self._steps = steps
        self._first: int | None = None
        self._began = 0.0
        self._step = 0

    def note(self, step: int):
        """``step`` steps are done now."""
        if self._first is None:
            self._first = step + 1
        if step <= self._first:
            self._began = time.monotonic()
        self._step = step

    def left(self) -> str | None:
        """The time left in words; None while it cannot be told, and at the end."""
        if self._first is None or self._step <= self._first or self._step == self._steps:
            return None
        seconds = (time.monotonic() - self._began) / (self._step - self._first) * (self._steps - self._step)
        if seconds < 90:
            return f"about {max(1, round(seconds))} s left"
        minutes = round(seconds / 60)
        return f"about {minutes} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"
