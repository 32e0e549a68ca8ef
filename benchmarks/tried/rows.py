"""The rows of the choices: the pack's own way is always the one measured against."""

from __future__ import annotations

import functools
import gc
import importlib.util
from collections.abc import Callable, Iterator
from importlib import metadata

import torch
from attention_cost.rows import DTYPES
from comfy.ldm.modules.attention import optimized_attention
from shared import report
from shared.measure import Meter, Ratio
from shared.tables import verdict
from training_cost.rows import Bench, Case

from . import columns, eight_bit
from . import training as ways_to_train

UPDATE_GOAL = 1e-3
"""The part of the weights' change that a training may lose to rounding."""
READING, REPLACING = "softmax of the transposed map (kept)", "one call (kept)"
SIZES = ((1024, 40), (1024, 80), (4096, 40), (1024, 160))
"""Query positions and channels of a head."""

Choice = tuple[str, Callable[[], Ratio]]
"""Another way to do something, and its measurement against the kept one."""


def measure_choices(options, device: str):
    """The tables of the questions asked for."""
    meter = Meter(device, options.cpu_time)
    questions = {
        "columns": lambda: {"Reading 7 columns, 20 times": _rows(reading(options, meter), READING)},
        "batch": lambda: {"Replacing 7 columns in a batch of 2, 20 times": _rows(replacing(options, meter), REPLACING)},
        "training": lambda: _training(options, meter),
        "states": lambda: _states(meter),
    }
    tables = {}
    for name, question in questions.items():
        if options.only in (None, name):
            tables |= question()
    dtype = "fp16" if device == "cuda" else "fp32"
    place = {"comfyui_attention": optimized_attention.__name__, **report.environment(meter, dtype)}
    result = {"command": "choices.py", "environment": place, "tables": tables}
    report.publish(result, f"choices-{device}", options.output)


def _rows(choices: Iterator[Choice], kept: str) -> list[dict]:
    return [report.row(what, kept, measure()) for what, measure in choices]


def compared(options, meter: Meter, other: Callable, kept: Callable) -> Ratio:
    """Two works in pairs, as many as ``options`` say."""
    pairs = 1 if options.quick else options.repeats
    return meter.paired(other, kept, pairs, pairs, budget=options.seconds)


def _repeated(options, meter: Meter, other: Callable, kept: Callable) -> Ratio:
    times = range(1 if options.quick else 20)
    return compared(options, meter, *(lambda work=work: [work() for _ in times] for work in (other, kept)))


def _sizes(options) -> list[tuple[int, int]]:
    return [(64, 40)] if options.quick else list(SIZES)


def reading(options, meter: Meter) -> Iterator[Choice]:
    """Ways to read columns, each against READING; all must read the same."""
    for positions, width in _sizes(options):
        dtype = DTYPES["fp16" if meter.device == "cuda" else "fp32"]
        q, k, _ = columns.random_qkv(1, positions, width, meter.device, dtype)
        for name, way in columns.WAYS.items():
            torch.testing.assert_close(way(q, k), columns.kept(q, k), rtol=1e-2, atol=1e-3)
            works = (functools.partial(work, q, k) for work in (way, columns.kept))
            yield f"{name}, N={positions}, d={width}", functools.partial(_repeated, options, meter, *works)


def replacing(options, meter: Meter) -> Iterator[Choice]:
    """Ways to replace columns in a guidance batch, each against REPLACING."""
    for positions, width in _sizes(options):
        dtype = DTYPES["fp16" if meter.device == "cuda" else "fp32"]
        batch = columns.GuidanceBatch(positions, width, meter.device, dtype)
        torch.testing.assert_close(batch.together(), batch.apart(), rtol=1e-2, atol=1e-3)
        for name, way in {"a call for each half": batch.apart, "no replacement": batch.plain}.items():
            measure = functools.partial(_repeated, options, meter, way, batch.together)
            yield f"{name}, N={positions}, d={width}", measure


def _training(options, meter: Meter) -> dict:
    bench = Bench(options, meter.device)
    rows = []
    case = Case("full", "bf16" if meter.device == "cuda" else "fp32", False)
    kept_peak = bench.peak_bytes(bench.ours, case)
    for name in ways_to_train.ANYWHERE:
        change = functools.partial(ways_to_train.Changed, name, bench.model, bench.settings(case), meter.device)
        peaks = {"ours_peak_bytes": bench.peak_bytes(lambda _, change=change: change(), case)}
        works = [functools.partial(training.steps, bench.steps_a_run) for training in (change(), bench.ours(case))]
        rows.append(report.row(name, "kept", compared(options, meter, *works), peer_peak_bytes=kept_peak, **peaks))
        del works
        gc.collect()
    return {f"A training step ({bench.shape.name}, {bench.resolution} px)": rows}


def _states(meter: Meter) -> dict:
    if importlib.util.find_spec("bitsandbytes") is None:
        return {}
    distance = eight_bit.distance(meter.device)
    table = [["optimizer states", "steps", "distance from float32 Adam, of the weights' change", "goal"]]
    goal = f"<= {UPDATE_GOAL}: {verdict(distance, UPDATE_GOAL)}"
    name = f"8 bits, bitsandbytes {metadata.version('bitsandbytes')}"
    table.append([name, str(eight_bit.STEPS), f"{distance:.1e}", goal])
    return {"8-bit states": table}
