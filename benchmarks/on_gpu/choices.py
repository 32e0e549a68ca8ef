"""What the log of choices marks "GPU only": each way to work against the pack's own, in pairs."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator

from training_cost.rows import Bench
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
    options = argparse.Namespace(quick=place.toy, cpu_time=False, repeats=8, seconds=2 if place.toy else SECONDS)
    bench = Bench(options, place.device)
    make = functools.partial(bench.ours, bench.settings("full", "bf16"))
    for name in ("loss read back at once",) if place.toy else ON_A_GPU:
        change = functools.partial(training.Changed, name, make)
        yield name, functools.partial(_figures, functools.partial(bench.against, name, "kept", change, make))
    for question in (rows.replacing, rows.reading):
        for what, row in question(bench):
            yield what, functools.partial(_figures, row)


def _figures(measure) -> dict:
    row = measure()
    interval = "{:.3f} .. {:.3f} ({})".format(*row["interval"], row["pairs"])
    return {
        "of what is kept": row["ratio"],
        "interval": interval,
        "seconds": row["ours_seconds"],
        "kept": row["peer_seconds"],
    }
