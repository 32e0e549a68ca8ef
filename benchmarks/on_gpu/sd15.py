"""400 steps of SD1.5's shape end to end: seconds, steps a second, peak memory, of every method and optimizer."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from unittest import mock

import torch
from shared import models
from shared.measure import Meter
from styo.bridge.progress import TrainingProgress
from styo.training.settings import Settings
from training_cost.our_training import end_to_end, picture_inputs

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
    """The cases in the order of what they tell."""
    shape = models.TOY if place.toy else models.SD15
    model = shape.model(torch.float32 if place.device == "cpu" else torch.float16)
    rates: dict[str, float] = {}
    for method, optimizer, checkpointing in CASES[:3] if place.toy else CASES:
        text = f"{method}, {optimizer}, bf16{', checkpointing' * checkpointing}"
        settings = functools.partial(
            Settings,
            method=method,
            optimizer=optimizer,
            gradient_checkpointing=checkpointing,
            resolution=64 if place.toy else 512,
            save_every=0,
        )
        yield text, functools.partial(_trained, place, shape, model, settings, rates)


def _trained(place: Place, shape, model, settings, rates: dict[str, float]) -> dict:
    steps = 2 if place.toy else _steps_that_fit(place, rates)
    inputs = picture_inputs(shape, model, settings(steps=steps))
    pace, meter = Pace(), Meter(place.device)
    if place.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with pace.watched():
        seconds = meter.seconds(lambda: end_to_end(inputs))
    rates["slowest"] = min(pace.steps_a_second, rates.get("slowest", pace.steps_a_second))
    figures = {"steps": steps, "seconds": seconds, "steps a second": pace.steps_a_second}
    if place.device == "cuda":
        figures["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
    if steps == STEPS:
        figures["goal"] = f"<= {GOAL:.0f} s: {'met' if seconds <= GOAL else 'missed'}"
    return figures


def _steps_that_fit(place: Place, rates: dict[str, float]) -> int:
    """400, or as many as the time left holds at the slowest pace seen so far."""
    if not rates:
        return STEPS
    steps = min(STEPS, int(0.7 * place.left() * rates["slowest"]))
    if steps < LEAST_STEPS:
        raise NotHere("the time left holds too few steps")
    return steps
