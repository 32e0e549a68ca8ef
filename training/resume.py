"""The state from which an interrupted training goes on, and the fingerprint by which it is found again."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import torch

from . import safetensors_file
from .loop import Training
from .part_file import move_to_first_free

SAMPLES_PER_TENSOR = 64
STATE_FORMAT = {"styo.state": "1"}
GOAL = "styo.steps"
"""In a state's metadata: how many steps its training is to have."""
GENERATOR, LOSSES, TERMS = "generator", "losses", "terms"


class StateIsFurther(ValueError):
    """The saved state has more steps behind it than are asked for."""


class Fingerprint:
    """A digest of everything a training reads: two runs with the same one take the same steps."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def add_settings(self, settings):
        """Take in anything JSON can hold."""
        self._digest.update(json.dumps(settings, sort_keys=True).encode())

    def add_tensor(self, name: str, tensor: torch.Tensor):
        """Take in all of a tensor."""
        self._digest.update(f"{name} {tuple(tensor.shape)}".encode())
        self._digest.update(tensor.detach().float().cpu().contiguous().numpy())

    def add_weights(self, weights: Iterable[tuple[str, torch.Tensor]]):
        """Take in up to SAMPLES_PER_TENSOR values, evenly spread, of each tensor."""
        for name, weight in weights:
            self.add_tensor(name, weight.flatten()[:: max(1, weight.numel() // SAMPLES_PER_TENSOR)])

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def save_state(path: Path, training: Training, steps: int):
    """Replace the state at ``path`` of a training of ``steps`` steps in one move."""
    tensors = training.optimizer.state()
    tensors[GENERATOR] = training.learner.generator.get_state()
    tensors[LOSSES] = training.history.known()
    tensors[TERMS] = training.history.known_terms()
    safetensors_file.write(path, tensors, {**STATE_FORMAT, GOAL: str(steps)})


def load_state(path: Path, training: Training, steps: int):
    """Let ``training`` go on from the state at ``path``, if there is one to go on from.

    A damaged state is moved aside, which is logged; one that is past ``steps`` raises StateIsFurther.
    """
    try:
        tensors, metadata = safetensors_file.read(path)
        _require_format(metadata)
        losses = tensors[LOSSES]
        if len(losses) > steps:
            raise StateIsFurther(
                f"steps is {steps}, but this training was stopped at step {len(losses)}: set steps to {len(losses)} or "
                "more to go on from there, or another seed to start over."
            )
        generator_state = tensors[GENERATOR]
        torch.Generator().set_state(generator_state)
        training.optimizer.load_state(tensors)
        training.history.restore(losses, tensors.get(TERMS))
    except FileNotFoundError:
        return
    except (safetensors_file.DamagedFile, KeyError, RuntimeError, TypeError) as error:
        _move_aside(path, error)
        logging.warning("StyO: training starts over.")
        return
    training.learner.generator.set_state(generator_state)
    logging.info("StyO: going on from step %d, saved in %s.", len(losses), path)


def drop_state(path: Path, steps: int):
    """Remove the state at ``path``, if there is one, now that weights after ``steps`` steps are finished.

    The state of a longer training stays, as does one of an earlier version, which does not tell its length.
    """
    try:
        metadata = safetensors_file.read_metadata(path)
        _require_format(metadata)
        done_with = int(metadata.get(GOAL, steps + 1)) <= steps
    except FileNotFoundError:
        return
    except (safetensors_file.DamagedFile, KeyError, ValueError) as error:
        _move_aside(path, error)
        return
    if done_with:
        path.unlink(missing_ok=True)
    else:
        logging.info("StyO: %s stays, for a training of more steps to go on from.", path)


def _require_format(metadata: dict[str, str]):
    if not metadata.items() >= STATE_FORMAT.items():
        raise KeyError("styo.state")


def _move_aside(path: Path, error: Exception):
    names = itertools.chain([path.stem], (f"{path.stem}_{number}" for number in itertools.count(2)))
    try:
        aside = move_to_first_free(path, (path.with_name(f"{name}.damaged") for name in names))
    except FileNotFoundError:
        logging.warning("StyO: the saved state cannot be used (%s); another training has moved it.", error)
    else:
        logging.warning("StyO: the saved state cannot be used (%s); it is now %s.", error, aside)
