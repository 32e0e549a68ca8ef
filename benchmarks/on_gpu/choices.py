"""What the log of choices marks "GPU only": each way to work against the pack's own, in pairs."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator

from training_cost.rows import Bench
from tried import rows, training

from .records import Check, Place

SECONDS = 8
"""For each pair."""
ON_A_GPU = (
    "CUDA graph of forward and backward pass",
    "loss read back at once",
    "latents kept on the host",
    "channels last",
    "optimizer after the backward pass, fused",
    "attention as ComfyUI has chosen it",
    "three forward passes",
)
"""Ways to train, in the order of what they may gain."""
COMPILED = "compiled forward pass"
"""Last of all, as compiling may take longer than what is left."""


def checks(place: Place) -> Iterator[Check]:
    """Ways to train, then ways to read and replace columns, then the one that may not come to an end."""
    options = argparse.Namespace(quick=place.toy, cpu_time=False, repeats=8, seconds=2 if place.toy else SECONDS)
    bench = Bench(options, place.device)
    make = functools.partial(bench.ours, bench.settings("full", "bf16"))

    def trained(name: str) -> Check:
        change = functools.partial(training.Changed, name, make)
        return name, functools.partial(_figures, functools.partial(bench.against, name, "kept", change, make))

    yield from map(trained, ("loss read back at once",) if place.toy else ON_A_GPU)
    for question in (rows.replacing, rows.reading):
        for what, row in question(bench):
            yield what, functools.partial(_figures, row)
    if not place.toy:
        yield trained(COMPILED)


def _figures(measure) -> dict:
    row = measure()
    interval = "{:.3f} .. {:.3f} ({})".format(*row["interval"], row["pairs"])
    return {
        "of what is kept": row["ratio"],
        "interval": interval,
        "seconds": row["ours_seconds"],
        "kept": row["peer_seconds"],
    }
