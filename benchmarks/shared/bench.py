"""A comparison: two works in turns make a row, and rows make a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from . import models, report
from .measure import Meter, Ratio
from .tables import verdict

LEAST = 6
"""Turns of a row, unless they take too long."""


def row(what: str, peer: str, ratio: Ratio, goal: float | None = None, **more) -> dict:
    """One row: two things measured against each other; ``more`` holds bytes and whatever else belongs to it."""
    reached = verdict(ratio.median, goal)
    if goal is not None and ratio.high - ratio.low >= abs(goal - ratio.median):
        reached += ", unsure: the interval is wider than the distance"
    return {
        "what": what,
        "peer": peer,
        "ours_seconds": round(ratio.ours, 5),
        "peer_seconds": round(ratio.peer, 5),
        "ratio": round(ratio.median, 4),
        "interval": [round(ratio.low, 4), round(ratio.high, 4)],
        "pairs": ratio.pairs,
        "goal": goal,
        "verdict": reached,
        **more,
    }


class Bench:
    """What all comparisons of time and memory share: their options, the meter, and the size of the UNet."""

    def __init__(self, options, device: str):
        self.options, self.device = options, device
        self.meter = Meter(device, options.cpu_time)
        self.unet = models.TOY if options.quick else models.SD15 if device == "cuda" else models.MINI

    def compare(
        self, what: str, peer: str, ours: Callable, theirs: Callable, goal: float | None = None, steps: int = 1, **more
    ) -> dict:
        """A row of the time that each takes, for one of the ``steps`` it does; with a goal, until that is sure."""
        turns = (1, 1) if self.options.quick else (LEAST, self.options.repeats if goal else LEAST)
        ratio = self.meter.paired(ours, theirs, *turns, goal, self.options.seconds)
        ratio = dataclasses.replace(ratio, ours=ratio.ours / steps, peer=ratio.peer / steps)
        found = row(what, peer, ratio, goal, **more)
        print(f"{what} / {peer}: {found['ratio']} {found['interval']} {found['verdict']}", flush=True)
        return found

    def publish(self, command: str, name: str, dtype: str, tables: dict, place: dict, **more):
        """Print and write the result of ``command``; ``place`` holds what its first line says besides."""
        environment = {**place, **report.environment(self.meter, dtype)}
        result = {"command": command, "environment": environment, **more, "tables": tables}
        report.publish(result, name, self.options.output)
