"""Saving a training: every so many steps, on the way out, and at its end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from ..training import resume, safetensors_file, weights
from ..training.history import NonFiniteLoss
from ..training.loop import Training
from . import unet_copy
from .output_files import OutputFiles
from .result import Result
from .training_inputs import Inputs


class Saves:
    """The files that a training leaves, and the state from which a later run goes on."""

    def __init__(self, inputs: Inputs, files: OutputFiles, fingerprint: str, training: Training):
        self._inputs = inputs
        self._files = files
        self._fingerprint = fingerprint
        self._training = training
        self._saved = training.history.step
        self.resumable_at = self._saved
        """The step that a later run goes on from."""

    def after(self, step: int):
        """Save if ``step``, the number of steps done, is one of those to save after."""
        every, last = self._inputs.settings.save_every, self._inputs.settings.steps
        if every and step % every == 0 and self._saved < step < last:
            self._saved = step
            self._save(resumable=True)

    @contextlib.contextmanager
    def on_the_way_out(self) -> Iterator[None]:
        """Save what has not been saved if an exception ends the training between two steps.

        After a non-finite loss there are weights, but no state: going on from it would not help.
        """
        try:
            yield
        except BaseException as stopped:
            self._training.history.settle()
            if self._training.between_steps and self._training.history.step > self._saved:
                self._save_what_is_left(resumable=not isinstance(stopped, NonFiniteLoss))
            raise

    def finish(self) -> Result:
        """Write the finished weights; the state is of no use any more."""
        result = self._result()
        self._write(result, self._files.new_path())
        self._files.remove_state()
        return result

    def _save_what_is_left(self, resumable: bool):
        """Save without hiding why the training ended."""
        try:
            self._save(resumable)
        except OSError as error:
            logging.error("StyO: what was trained could not be saved: %s", error)

    def _save(self, resumable: bool):
        self._training.history.settle()
        if resumable:
            resume.save_state(self._files.state, self._training)
            self.resumable_at = self._training.history.step
        self._write(self._result(), self._files.new_path(self._training.history.step))

    def _result(self) -> Result:
        """The weights as they are now."""
        inputs, history = self._inputs, self._training.history
        losses, terms = history.known().tolist(), history.finite_terms()
        base_model = unet_copy.name_of(inputs.model)
        metadata = weights.describe(inputs.prompts, inputs.settings, losses, terms, self._fingerprint, base_model)
        return Result(self._training.learner.weights(), metadata, terms)

    def _write(self, result: Result, path: Path):
        safetensors_file.write(path, result.weights, result.metadata)
        logging.info("StyO: saved the weights after step %d as %s.", self._training.history.step, path)
