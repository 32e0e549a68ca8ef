"""Saving a training: every so many steps, on the way out, and at its end."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from ..training import resume, weights
from ..training.history import NonFiniteLoss
from ..training.loop import Training
from ..training.settings import Settings
from .model_kind import base_of
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
        self.resumable_at = training.history.step
        """The step that a later run goes on from."""
        self.path: Path | None = None
        """The newest file of weights."""

    def after(self, step: int):
        """Save if ``step``, the number of steps done, is one of those to save after.

        What cannot be saved does not end the training: there may be room again at the next save.
        """
        every, last = self._inputs.settings.save_every, self._inputs.settings.steps
        if every and step % every == 0 and self.resumable_at < step < last:
            self._try_to_save(resumable=True)

    @contextlib.contextmanager
    def on_the_way_out(self) -> Iterator[None]:
        """Save what has not been saved if an exception ends the training between two steps.

        After a non-finite loss there are weights, but no state: going on from it would not help.
        """
        try:
            yield
        except BaseException as stopped:
            self._training.history.settle()
            if self._training.between_steps and self._training.history.step > self.resumable_at:
                self._try_to_save(resumable=not isinstance(stopped, NonFiniteLoss))
            raise

    def finish(self) -> Result:
        """Write the finished weights; the state is of no use any more. Raises RuntimeError, saying where they are."""
        result = self._result()
        try:
            self._note(self._files.write(result))
        except OSError as error:
            self._keep_elsewhere(result, error.strerror)
        self._files.drop_superseded()
        return result

    def _keep_elsewhere(self, result: Result, reason: str):
        folder = self._files.folder
        if (path := self._files.keep(result)) is None:
            raise RuntimeError(
                f"The finished weights could not be written to {folder} ({reason}), nor anywhere else: free some space "
                "and run again, which goes on from the last save."
            )
        self._files.drop_state()
        raise RuntimeError(
            f"The finished weights could not be written to {folder} ({reason}) and are kept as {path}: free some "
            "space, or choose another filename_prefix, and run again, which takes them from there."
        )

    def _try_to_save(self, resumable: bool):
        """Save without ending the training, or hiding why it ended."""
        try:
            self._save(resumable)
        except OSError as error:
            logging.error(
                "StyO: what was trained up to step %d could not be saved (%s).",
                self._training.history.step,
                error.strerror or error,
            )

    def _save(self, resumable: bool):
        self._training.history.settle()
        step = self._training.history.step
        if resumable:
            resume.save_state(self._files.state, self._training, self._inputs.settings.steps)
            self.resumable_at = step
        elif path := self._files.diverged(step):
            self.path = path
            return
        self._note(self._files.write(self._result(), step))

    def _result(self) -> Result:
        """The weights as they are now."""
        inputs, history = self._inputs, self._training.history
        losses, terms = history.known().tolist(), history.finite_terms()
        base = base_of(inputs.model)
        metadata = weights.describe(inputs.prompts, inputs.settings, losses, terms, self._fingerprint, base)
        metadata[weights.CLIP_LAYER_KEY] = json.dumps(inputs.clip.layer_idx)
        return Result(self._training.learner.weights(), metadata, terms)

    def _note(self, path: Path):
        self.path = path
        logging.info("StyO: saved the weights after step %d as %s.", self._training.history.step, path)


def saves_after(step: int, settings: Settings) -> int:
    """How many saves are still to come on the way from ``step`` to the end."""
    every = settings.save_every
    return (settings.steps - 1) // every - step // every if every and step < settings.steps else 0


def recall(files: OutputFiles) -> Result | None:
    """What this very training ended in, if it is finished; weights that had found no room are moved to their folder."""
    if path := files.finished():
        logging.info("StyO: this training is already finished: using %s.", path)
        result = Result.read(path)
        files.drop_superseded()
        return result
    if (kept := files.kept()) is None:
        return None
    result = Result.read(kept)
    try:
        path = files.write(result)
    except OSError as error:
        logging.warning(
            "StyO: the finished weights are used from %s: %s still cannot be written to (%s).",
            kept,
            files.folder,
            error.strerror,
        )
        files.drop_state()
        return result
    logging.info("StyO: this training is already finished: moved %s to %s.", kept, path)
    files.drop_superseded()
    return result
