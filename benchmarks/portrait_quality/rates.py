"""A method or an optimizer at several learning rates, against StyO as it is shipped, on the same triples."""

from __future__ import annotations

import dataclasses

import comfyui_version
from shared import report
from shared.measure import Meter

from . import reading, tables
from .bench import PACKAGES, WORK, carry_out_all
from .recipe import RECIPE
from .rows import FULL_ROW, Judge
from .runs import FORWARD, Run, made_with
from .trainings import Training
from .triples import tasks


def measure_rates(options, device: str):
    """Carry out what is not done yet, then measure all stylizations and write the tables."""
    chosen = tasks(not options.held_out)[: options.triples]
    named = {options.setting: options.value}
    recipes = {FULL_ROW: RECIPE}
    for rate in options.rates:
        name = f"{options.setting} {options.value}, rate {rate:g}"
        recipes[name] = dataclasses.replace(RECIPE, **named, learning_rate=rate)
    common = made_with(comfyui_version.__version__, device, str(options.threads))
    runs = {name: _runs(chosen, recipe, common) for name, recipe in recipes.items()}
    carry_out_all([run for by_task in runs.values() for run in by_task.values()], options)

    judge = Judge(reading.load()[0])
    rows = [
        judge.row(name, chosen, lambda task, found=found: found[task.name].pictures(FORWARD))
        for name, found in runs.items()
    ]
    name = f"portrait-rates-{options.value}{'-held-out' * options.held_out}-{device}"
    result = {
        "command": f"portrait_rates.py {options.setting} {options.value}",
        "environment": report.environment(Meter(device), RECIPE.precision, PACKAGES),
        "recipe": dataclasses.asdict(RECIPE),
        "triples": [task.name for task in chosen],
        "values": tables.values(rows),
        "tables": {"Results": tables.results(rows), f"Difference to {FULL_ROW}": tables.differences(rows)},
    }
    report.publish(result, name, options.output)


def _runs(chosen: list, recipe, common: str) -> dict[str, Run]:
    training = Training(f"{recipe.method}-{recipe.optimizer}-{recipe.learning_rate:g}", recipe, len(chosen))
    return {task.name: Run.within(WORK, task, training, common) for task in chosen}
