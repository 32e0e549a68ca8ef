"""What to choose where a training does not fit into memory."""

from __future__ import annotations

import dataclasses

from .settings import RESOLUTION_STEP, Settings

USUAL_RANK = 16
SMALLEST_RESOLUTION = 256
"""Pixels; below it Stable Diffusion draws no faces."""


def next_smaller(settings: Settings) -> Settings | None:
    """``settings`` with the one change that saves memory at the least cost to the result; None for the smallest.

    First what changes nothing or next to nothing, then fewer trained weights, then fewer pixels.
    """
    lower = settings.resolution * 3 // 4 // RESOLUTION_STEP * RESOLUTION_STEP
    ladder = (
        (not settings.gradient_checkpointing, "gradient_checkpointing", True),
        (settings.precision == "fp32", "precision", "bf16"),
        (settings.optimizer == "adam" and settings.method != "lora", "optimizer", "adafactor"),
        (settings.train_text_encoder, "train_text_encoder", False),
        (settings.train_identifiers, "train_identifiers", False),
        (settings.method == "full", "method", "cross_attention"),
        (settings.method == "cross_attention", "method", "lora"),
        (settings.rank > USUAL_RANK, "rank", USUAL_RANK),
        (settings.resolution > SMALLEST_RESOLUTION, "resolution", max(lower, SMALLEST_RESOLUTION)),
    )
    changes = ({name: value} for applies, name, value in ladder if applies)
    change = next(changes, None)
    return change and dataclasses.replace(settings, **change)


def advice(settings: Settings) -> str:
    """The change to `next_smaller`, in words for the user."""
    smaller = next_smaller(settings)
    if smaller is None:
        return "these are the smallest settings, so close what else uses the GPU"
    before, after = dataclasses.asdict(settings), dataclasses.asdict(smaller)
    (name,) = (name for name in before if before[name] != after[name])
    return f"the next smaller choice is {name} {_spell(after[name])} instead of {_spell(before[name])}"


def _spell(value: str | int | bool) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
