"""What the log of choices marks "GPU only": each way to work against the pack's own, in pairs."""

from __future__ import annotations

import argparse
import functools
import gc
from collections.abc import Iterator

from shared.measure import Meter
from training_cost.rows import Bench, Case
from tried import rows, training

from .records import Check, Place

SECONDS = 10
"""For each pair."""
ON_A_GPU = (
    "CUDA graph of forward and backward pass",
    "compiled forward pass",
    "loss read back at once",
    "latents kept on the host",
    "channels last",
    "optimizer after the backward pass, fused",
    "attention as ComfyUI has chosen it",
    "three forward passes",
)
"""Ways to train, in the order of what they may gain."""


def checks(place: Place) -> Iterator[Check]:
    """Ways to train, then ways to read and replace columns."""
    options = argparse.Namespace(
        quick=place.toy, cpu_time=False, repeats=8, seconds=2 if place.toy else SECONDS, only=None
    )
    meter, bench = Meter(place.device), Bench(options, place.device)
    for name in ("loss read back at once",) if place.toy else ON_A_GPU:
        yield name, functools.partial(_trained, bench, meter, name)
    for question in (rows.replacing, rows.reading):
        for what, ratio in question(options, meter):
            yield what, functools.partial(_figures, ratio)


def _trained(bench: Bench, meter: Meter, name: str) -> dict:
    case, steps = Case("full", "bf16", False), bench.steps_a_run
    other = training.Changed(name, bench.model, bench.settings(case), bench.device)
    works = [functools.partial(each.steps, steps) for each in (other, bench.ours(case))]
    figures = _figures(functools.partial(rows.compared, bench.options, meter, *works))
    del other, works
    gc.collect()
    return figures


def _figures(measure) -> dict:
    ratio = measure()
    interval = f"{ratio.low:.3f} .. {ratio.high:.3f} ({ratio.pairs})"
    return {"of what is kept": ratio.median, "interval": interval, "seconds": ratio.ours, "kept": ratio.peer}
