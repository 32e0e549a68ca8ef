"""What the passes cost here: beside plain ones, and beside Prompt-to-Prompt's store in diffusers."""

from __future__ import annotations

import argparse
import functools
import importlib.util
from collections.abc import Iterator

from attention_cost.rows import CAPTURE, GOALS, INJECT, P2P, STORE, Bench

from .records import Check, NotHere, Place

SECONDS = 12
"""For each pair."""
SOURCE_ATTENTION_GOAL = 2.1
"""Source Attention reads the photo in an evaluation of its own beside each of the sampler's."""


def checks(place: Place) -> Iterator[Check]:
    """The pack's own nodes first."""
    seconds = 2 if place.toy else min(SECONDS, place.left() / 6)
    options = argparse.Namespace(
        quick=place.toy, cpu_time=False, dtype=None, steps=None if place.toy else 20, repeats=12, seconds=seconds
    )
    bench = Bench(options, place.device)
    ours, goals = bench.comfy(), GOALS[place.device]
    source = functools.cache(ours.capture)
    rows = {
        "capture pass / plain": (ours.capture, ours.plain_source, goals[CAPTURE]),
        "inject pass / plain": (lambda: ours.inject(source()), ours.plain, goals[INJECT]),
        "source attention / plain": (ours.source_attention, ours.plain, SOURCE_ATTENTION_GOAL),
    }
    for what, pair in rows.items():
        yield what, functools.partial(_ratio, bench, what, *pair)
    yield "both passes / Prompt-to-Prompt's store", functools.partial(_store, bench, ours, goals[P2P])


def _ratio(bench: Bench, what: str, ours, peer, goal: float, against: str = "plain pass") -> dict:
    row = bench.compare(what, against, ours, peer, goal)
    low, high = row["interval"]
    return {
        "ratio": row["ratio"],
        "interval": f"{low:.3f} .. {high:.3f} ({row['pairs']})",
        "seconds": row["ours_seconds"],
        "goal": f"<= {goal}: {row['verdict']}",
        "peak MB": row["ours_peak_bytes"] / 1e6,
        "its peak MB": row["peer_peak_bytes"] / 1e6,
    }


def _store(bench: Bench, ours, goal: float) -> dict:
    if importlib.util.find_spec("diffusers") is None:
        raise NotHere("diffusers is not installed")
    from attention_cost.p2p_passes import P2PPasses
    from attention_cost.rows import difference
    from shared.peer_unet import to_diffusers

    unet = to_diffusers(bench.model.model.diffusion_model, bench.model.model.model_config.unet_config).to(bench.device)
    published = P2PPasses(unet, bench.conditionings, bench.sampling, as_published=True)
    agreement = difference(ours, published.both())
    row = _ratio(bench, "both passes", ours.both, published.both, goal, STORE)
    return {**row, "relative difference of the results": agreement}
