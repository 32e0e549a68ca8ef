"""The portrait benchmark: all runs, by several processes, and what they come to."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import sys

import comfyui_version
from shared import launch, report
from shared.measure import Meter
from styo.demo import weights

from . import pictures, reading, tables
from .recipe import RECIPE
from .rows import FULL_ROW, MAIN, PASSES, PICTURES_BESIDE, Judge, tables_of_rows
from .runs import Run, carry_out, made_with
from .trainings import FULL, QUICK_TRIPLES, trainings
from .triples import TRIPLES, tasks

WORK = launch.ROOT / "demo_output" / "portraits"
PACKAGES = ("torch", "scikit-image")
SHEET = 12
"""Triples on the contact sheet."""


def measure_portraits(options, device: str):
    """Carry out what is not done yet, then measure all pictures and write tables, plane and sheet."""
    if not reading.PATH.is_file():
        sys.exit(f"{reading.PATH} is missing: make it with `python benchmarks/portrait_reader.py`.")
    recipe = dataclasses.replace(RECIPE, steps=options.steps) if options.steps else RECIPE
    chosen = tasks(options.tuning)[: options.triples][: QUICK_TRIPLES if options.quick else None]
    common = made_with(comfyui_version.__version__, device, str(options.threads))
    runs = {
        training.name: {task.name: Run.within(WORK, task, training, common) for task in chosen[: training.triples]}
        for training in trainings(recipe, options.quick, not options.no_ablations)
    }
    carry_out_all([run for by_task in runs.values() for run in by_task.values()], options)

    rows = tables_of_rows(Judge(reading.load()[0]), runs, chosen)
    shown = {}
    for title, part in rows.items():
        triples = f"{len(part[0].first)} triples"
        shown[f"{title}: {triples}"] = tables.results(part)
        if title != PASSES:
            shown[f"{title}, difference to {FULL_ROW}: {triples}"] = tables.differences(part)
    shown |= {
        "Loss of every picture under every prompt": tables.losses(runs),
        "What attention maps mean": tables.attention(runs),
        f"Seconds, --threads {options.threads}": tables.seconds(runs),
    }
    partial = options.quick or options.no_ablations or options.steps or len(chosen) < TRIPLES
    name = f"portraits{'-tuning' * options.tuning}{'-partial' * bool(partial)}-{device}"
    made_from = {"model": weights.digest(weights.PATH)[:10], "reader": weights.digest(reading.PATH)[:10]}
    environment = report.environment(Meter(device), recipe.precision, PACKAGES)
    result = {
        "command": _command(options),
        "environment": {**made_from, **environment, "workers": options.workers},
        "recipe": dataclasses.asdict(recipe),
        "triples": [task.name for task in chosen],
        "seeds": runs[FULL][chosen[0].name].training.seeds,
        "figures": {title: tables.figures(part) for title, part in rows.items()},
        "values": {title: tables.values(part) for title, part in rows.items()},
        "tables": shown,
    }
    report.publish(result, name, options.output)
    planes = {title: part for title, part in rows.items() if title != PASSES}
    pictures.plane(planes, options.output / f"{name}-plane.png")
    on_sheet = [rows[PASSES][0], *(row for row in rows[MAIN] if row.name not in PICTURES_BESIDE)]
    pictures.sheet(chosen[:SHEET], on_sheet, options.output / f"{name}-sheet.jpg")


def _command(options) -> str:
    flags = [f"--{name}" for name in ("quick", "tuning", "no-ablations") if getattr(options, name.replace("-", "_"))]
    numbers = {"triples": options.triples, "steps": options.steps}
    return " ".join(["portraits.py", *flags, *(f"--{name} {value}" for name, value in numbers.items() if value)])


def carry_out_all(runs: list[Run], options):
    """Carry out the runs by ``options.workers`` processes; what is finished stays finished if this is stopped."""
    left = [run for run in runs if not run.finished]
    print(f"{len(runs) - len(left)} of {len(runs)} trainings are finished in {WORK}", flush=True)
    context = multiprocessing.get_context("spawn")
    how = {"mp_context": context, "initializer": launch.start, "initargs": (options,)}
    with concurrent.futures.ProcessPoolExecutor(options.workers, **how) as pool:
        for number, (run, seconds) in enumerate(zip(left, pool.map(carry_out, left), strict=True), 1):
            print(f"{number}/{len(left)} {run.task.name} {run.training.name}: {seconds:.0f} s", flush=True)
