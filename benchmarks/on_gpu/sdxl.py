"""Training SDXL's shape at 1024 pixels: steps a second and peak memory of the methods that fit many cards."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from shared import models
from shared.measure import Meter
from styo.training.settings import Settings
from training_cost.our_training import OurTraining

from . import memory
from .records import Check, Place

CASES = (("lora", "adam"), ("cross_attention", "adam"), ("cross_attention", "adafactor"), ("full", "adafactor"))
WARM, STEPS = 3, 20


def checks(place: Place) -> Iterator[Check]:
    """The smallest first."""
    unet = models.TOY_SDXL if place.toy else models.SDXL
    model = unet.model(torch.float32 if place.device == "cpu" else torch.float16)
    for method, optimizer in CASES[:2] if place.toy else CASES:
        settings = Settings(method, optimizer=optimizer, resolution=64 if place.toy else 1024)
        yield (
            f"{method}, {optimizer}, bf16, checkpointing",
            functools.partial(_trained, place, unet, model, settings),
        )


def _trained(place: Place, unet: models.Unet, model, settings: Settings) -> dict:
    meter, steps, seconds = Meter(place.device), 1 if place.toy else STEPS, []

    def train():
        training = OurTraining(unet, model, settings, place.device)
        training.steps(1 if place.toy else WARM)
        seconds.append(meter.seconds(functools.partial(training.steps, steps)))

    peak = memory.peak(place.device, train)
    pace = steps / seconds[0]
    return {"steps": steps, "steps a second": pace, "400 steps, seconds": 400 / pace, **peak}
