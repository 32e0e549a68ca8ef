"""The portrait benchmark: all runs, by several processes, and what they come to."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import sys

import launch
import portrait_pictures
import portrait_reading
import portrait_tables
import report
from measure import Meter
from portrait_recipe import RECIPE
from portrait_rows import ABLATIONS, MAIN, Judge, tables_of_rows
from portrait_runs import Run, carry_out
from portrait_trainings import QUICK_TRIPLES, trainings
from portrait_triples import TRIPLES, tasks
from styo.demo import weights

WORK = launch.ROOT / "demo_output" / "portraits"
PACKAGES = ("torch", "scikit-image")


def measure_portraits(options, device: str):
    """Carry out what is not done yet, then measure all pictures and write tables, plane and sheet."""
    if not portrait_reading.PATH.is_file():
        sys.exit(f"{portrait_reading.PATH} is missing: make it with `python benchmarks/portrait_reader.py`.")
    recipe = dataclasses.replace(RECIPE, steps=options.steps) if options.steps else RECIPE
    chosen = tasks(options.tuning)[: options.triples or (QUICK_TRIPLES if options.quick else TRIPLES)]
    model = weights.digest(weights.PATH)
    runs = {
        training.name: {task.name: Run.within(WORK, task, training, model) for task in chosen[: training.triples]}
        for training in trainings(recipe, options.quick, not options.no_ablations)
    }
    _carry_out([run for by_task in runs.values() for run in by_task.values()], options)

    judge = Judge(portrait_reading.load()[0])
    rows = tables_of_rows(judge, runs, chosen)
    main, count = rows[MAIN], f"{len(chosen)} triples"
    tables = {
        f"{MAIN}: {count}": portrait_tables.results(main),
        f"Difference to full StyO: {count}": portrait_tables.differences(main),
    }
    if ABLATIONS in rows:
        title = f"{ABLATIONS}, the first {len(rows[ABLATIONS][0].first)} triples"
        tables[title] = portrait_tables.results(rows[ABLATIONS])
    tables |= {
        "Loss of every picture under every prompt": portrait_tables.losses(runs),
        "Attention on the content columns": portrait_tables.attention(runs),
        "Seconds on one thread": portrait_tables.seconds(runs),
    }
    name = "portraits-tuning" if options.tuning else "portraits"
    place = {"model": "demo model", **report.environment(Meter(device), recipe.precision, PACKAGES)}
    result = {
        "command": _command(options),
        "environment": {**place, "workers": options.workers},
        "recipe": dataclasses.asdict(recipe),
        "figures": {title: portrait_tables.figures(part) for title, part in rows.items()},
        "tables": tables,
    }
    report.publish(result, f"{name}-{device}", options.output)
    portrait_pictures.plane(main, options.output / f"{name}-plane.png")
    portrait_pictures.sheet(chosen, main[:-3], options.output / f"{name}-sheet.jpg")


def _command(options) -> str:
    flags = [f"--{name}" for name in ("tuning", "no-ablations") if getattr(options, name.replace("-", "_"))]
    triples = [f"--triples {options.triples}"] if options.triples else []
    return " ".join(["portraits.py", *triples, *flags])


def _carry_out(runs: list[Run], options):
    """Carry out the runs by ``options.workers`` processes; what is finished stays finished if this is stopped."""
    left = [run for run in runs if not run.finished]
    print(f"{len(runs) - len(left)} of {len(runs)} trainings are finished in {WORK}", flush=True)
    context = multiprocessing.get_context("spawn")
    how = {"mp_context": context, "initializer": launch.start, "initargs": (options,)}
    with concurrent.futures.ProcessPoolExecutor(options.workers, **how) as pool:
        futures = {pool.submit(carry_out, run): run for run in left}
        try:
            for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                run = futures[future]
                line = f"{number}/{len(left)} {run.task.name} {run.training.name}: {future.result():.0f} s"
                print(line, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
