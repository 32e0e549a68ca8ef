"""The rows of the choices: the pack's own way is always the one measured against."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable

import column_choices
import report
import torch
import training_choices
from attention_rows import DTYPES
from comfy.ldm.modules.attention import optimized_attention
from measure import Meter, Ratio
from training_rows import Bench, Case

SIZES = ((1024, 40), (1024, 80), (4096, 40), (1024, 160))
"""Query positions and channels of a head."""


def measure_choices(options, device: str):
    """The tables of the questions asked for."""
    meter = Meter(device, options.cpu_time)
    questions = {"columns": _columns, "batch": _batch, "training": _training}
    tables = {}
    for name, question in questions.items():
        if options.only in (None, name):
            tables |= question(options, meter)
    dtype = "fp16" if device == "cuda" else "fp32"
    place = {"comfyui_attention": optimized_attention.__name__, **report.environment(meter, dtype)}
    result = {"command": "choices.py", "environment": place, "tables": tables}
    report.publish(result, f"choices-{device}", options.output)


def _compared(options, meter: Meter, other: Callable, kept: Callable) -> Ratio:
    pairs = 1 if options.quick else options.repeats
    return meter.paired(other, kept, pairs, pairs, budget=options.seconds)


def _repeated(work, times: int):
    def run():
        for _ in range(times):
            work()

    return run


def _sizes(options) -> list[tuple[int, int]]:
    return [(64, 40)] if options.quick else list(SIZES)


def _columns(options, meter: Meter) -> dict:
    rows = []
    times = 1 if options.quick else 20
    for positions, width in _sizes(options):
        dtype = DTYPES["fp16" if meter.device == "cuda" else "fp32"]
        q, k, _ = column_choices.random_qkv(1, positions, width, meter.device, dtype)
        expected = column_choices.of_the_whole_map(q, k)
        for name, way in column_choices.WAYS.items():
            if way is column_choices.by_unit_values:
                continue
            found = way(q, k)
            found = found if found.shape == expected.shape else found.transpose(-1, -2)
            torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)
            works = [_repeated(functools.partial(work, q, k), times) for work in (way, column_choices.by_unit_values)]
            ratio = _compared(options, meter, *works)
            rows.append(report.row(f"{name}, N={positions}, d={width}", "unit values (kept)", ratio))
    return {"Reading 7 columns, 20 times, against fused attention with unit values": rows}


def _batch(options, meter: Meter) -> dict:
    rows = []
    times = 1 if options.quick else 20
    for positions, width in _sizes(options):
        batch = column_choices.GuidanceBatch(
            positions, width, meter.device, DTYPES["fp16" if meter.device == "cuda" else "fp32"]
        )
        torch.testing.assert_close(batch.together(), batch.apart(), rtol=1e-2, atol=1e-3)
        for name, way in {"a call for each half": batch.apart, "no replacement": batch.plain}.items():
            ratio = _compared(options, meter, _repeated(way, times), _repeated(batch.together, times))
            rows.append(report.row(f"{name}, N={positions}, d={width}", "one call (kept)", ratio))
    return {"Replacing 7 columns in a batch of 2, 20 times, against one attention call for both halves": rows}


def _training(options, meter: Meter) -> dict:
    bench = Bench(options, meter.device)
    rows = []
    case = Case("full", "bf16" if meter.device == "cuda" else "fp32", False)
    for name in training_choices.WAYS:
        kept = bench.ours(case)
        other = training_choices.Changed(name, bench.model, bench.settings(case), meter.device)
        works = [functools.partial(training.steps, bench.steps_a_run) for training in (other, kept)]
        rows.append(report.row(name, "as it is kept", _compared(options, meter, *works)))
        del kept, other, works
        gc.collect()
    return {f"A training step ({bench.shape.name}, {bench.resolution} px)": rows}
