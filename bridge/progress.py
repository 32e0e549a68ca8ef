"""Telling the user how a training goes, and noticing when they cancel it."""

from __future__ import annotations

import time

import comfy.model_management
import comfy.utils
import server
from tqdm.auto import tqdm

from ..training.history import LossHistory

SECONDS_BETWEEN_TEXTS = 0.3
RUNNING_MEAN = 20
"""Steps the shown loss is averaged over: single losses depend mostly on their timestep."""


class TrainingProgress:
    """The node's progress bar and text, and a line in the log; called between steps, raises once the user cancels."""

    def __init__(self, steps: int, done: int, node_id: str | None):
        self._steps = steps
        self._node_id = node_id
        self._bar = comfy.utils.ProgressBar(steps)
        self._line = tqdm(total=steps, initial=done, desc="StyO IDL", unit="step")
        self._next_text = 0.0

    def __call__(self, history: LossHistory):
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._line.update(history.step - self._line.n)
        now = time.monotonic()
        loss = history.recent(RUNNING_MEAN)
        if loss is not None and (now >= self._next_text or history.step == self._steps):
            self._next_text = now + SECONDS_BETWEEN_TEXTS
            self._line.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self._send_text(f"step {history.step} of {self._steps}, loss {loss:.4f}")
        self._bar.update_absolute(history.step)

    def _send_text(self, text: str):
        prompt_server = getattr(server.PromptServer, "instance", None)
        if prompt_server is not None and self._node_id is not None:
            prompt_server.send_progress_text(text, self._node_id)

    def close(self):
        """End the line in the log."""
        self._line.close()
