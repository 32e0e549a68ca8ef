"""400 steps of SD1.5's shape end to end: seconds, steps a second, peak memory, of every method and optimizer."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator
from unittest import mock

import torch
from shared import models
from shared.measure import Meter
from styo.bridge.progress import TrainingProgress
from styo.bridge.training_inputs import Inputs
from styo.training.settings import Settings
from training_cost.our_training import OurTraining, end_to_end, picture_inputs

from . import memory
from .records import Check, NotHere, Place

GOAL = 33.0
"""Seconds: as long as 1200 images take at 36 a second, MosaicML's training of SD2-base on one A100."""
STEPS = 400
WARM = 5
"""Steps after which a training's pace is steady."""
LEAST_STEPS = 20
CASES = (
    ("full", "adam", False),
    ("full", "adam", True),
    ("full", "adafactor", True),
    ("cross_attention", "adam", True),
    ("lora", "adam", True),
    ("full", "adafactor", False),
    ("cross_attention", "adafactor", True),
    ("lora", "adafactor", True),
)
"""Method, optimizer, and whether gradients are checkpointed; the one with the goal first, then the node's defaults."""


class Pace:
    """Sees every step of a training, and knows how fast they were."""

    def __init__(self):
        self.times: list[float] = []

    def watched(self):
        """A block in which every training's steps are seen."""
        call = TrainingProgress.__call__

        def called(progress, history):
            self.times.append(time.monotonic())
            call(progress, history)

        return mock.patch.object(TrainingProgress, "__call__", called)

    @property
    def steps_a_second(self) -> float:
        warm = self.times[WARM:] if len(self.times) > WARM + 1 else self.times
        return (len(warm) - 1) / (warm[-1] - warm[0])


def checks(place: Place) -> Iterator[Check]:
    """How fast the first case is, then all cases in the order of what they tell."""
    unet = models.TOY if place.toy else models.SD15
    model = unet.model(torch.float32 if place.device == "cpu" else torch.float16)
    inputs = picture_inputs(unet, model, Settings(resolution=64 if place.toy else 512, save_every=0))
    paces: list[float] = []
    for i, (method, optimizer, checkpointing) in enumerate(CASES[1:3] if place.toy else CASES):
        changes = {"method": method, "optimizer": optimizer, "gradient_checkpointing": checkpointing}
        case = dataclasses.replace(inputs, settings=dataclasses.replace(inputs.settings, **changes))
        text = f"{method}, {optimizer}, bf16{', checkpointing' * checkpointing}"
        if i == 0:
            yield f"the first steps of {text}", functools.partial(_begun, place, unet, case, paces)
        yield text, functools.partial(_trained, place, case, paces)


def _begun(place: Place, unet: models.Unet, inputs: Inputs, paces: list[float]) -> dict:
    """The pace of a few steps, which a slow GPU finishes, too; they also load every kernel."""
    training = OurTraining(unet, inputs.model, inputs.settings, place.device)
    training.steps(1 if place.toy else WARM)
    steps = 1 if place.toy else LEAST_STEPS
    paces.append(steps / Meter(place.device).seconds(functools.partial(training.steps, steps)))
    return {"steps": steps, "steps a second": paces[-1]}


def _trained(place: Place, inputs: Inputs, paces: list[float]) -> dict:
    steps = 2 if place.toy else _steps_that_fit(place, paces)
    inputs = dataclasses.replace(inputs, settings=dataclasses.replace(inputs.settings, steps=steps))
    pace, meter, seconds = Pace(), Meter(place.device), []
    with pace.watched():
        peak = memory.peak(place.device, lambda: seconds.append(meter.seconds(lambda: end_to_end(inputs))))
    paces.append(pace.steps_a_second)
    figures = {
        "steps": steps,
        "seconds": seconds[0],
        "steps a second": pace.steps_a_second,
        "seconds before and after the steps": seconds[0] - (pace.times[-1] - pace.times[0]),
        **peak,
    }
    if steps == STEPS:
        figures["goal"] = f"<= {GOAL:.0f} s: {'met' if seconds[0] <= GOAL else 'missed'}"
    return figures


def _steps_that_fit(place: Place, paces: list[float]) -> int:
    """400, or as many as the time left holds at the slowest pace seen so far, if any was."""
    steps = min(STEPS, int(0.7 * place.left() * min(paces))) if paces else LEAST_STEPS
    if steps < LEAST_STEPS:
        raise NotHere("the time left holds too few steps")
    return steps
