"""Training SDXL's shape at 1024 pixels: steps a second and peak memory of the methods that fit many cards."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator

import torch
from shared import models
from shared.measure import Meter
from styo.training.settings import Settings
from training_cost.our_training import OurTraining

from .records import Check, Place

CASES = (("lora", "adam"), ("cross_attention", "adam"), ("cross_attention", "adafactor"), ("full", "adafactor"))
WARM, STEPS = 3, 20


def checks(place: Place) -> Iterator[Check]:
    """The smallest first."""
    shape = models.TOY_SDXL if place.toy else models.SDXL
    model = shape.model(torch.float32 if place.device == "cpu" else torch.float16)
    for method, optimizer in CASES[:2] if place.toy else CASES:
        yield (
            f"{method}, {optimizer}, bf16, checkpointing",
            functools.partial(_trained, place, shape, model, method, optimizer),
        )


def _trained(place: Place, shape: models.Unet, model, method: str, optimizer: str) -> dict:
    settings = Settings(method, optimizer=optimizer, resolution=64 if place.toy else 1024)
    meter, steps = Meter(place.device), 1 if place.toy else STEPS
    if place.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    training = OurTraining(shape, model, settings, place.device)
    training.steps(1 if place.toy else WARM)
    seconds = meter.seconds(functools.partial(training.steps, steps))
    figures = {"steps": steps, "steps a second": steps / seconds, "400 steps, seconds": 400 * seconds / steps}
    if place.device == "cuda":
        figures["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
    del training
    gc.collect()
    return figures
