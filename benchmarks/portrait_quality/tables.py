"""What the portrait benchmark measured, as tables of cells."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import numpy as np
from shared.intervals import mean_and_interval

from .inside import TERMS
from .rows import FULL_ROW, MEASURES, Row
from .runs import Run
from .trainings import FULL, UNTRAINED

Table = list[list[str]]


def results(rows: list[Row], less: Row | None = None) -> Table:
    """Every row's means with their intervals; how much more that is than row ``less`` has, on the same triples."""
    sign = "+" if less else ""
    table = [["", *(name.replace("ssim", "SSIM") for name in MEASURES)]]
    for row in (row for row in rows if row is not less):
        found = {name: row.values[name] - (less.values[name] if less else 0) for name in MEASURES}
        table.append([row.name, *(_cell(found[name], sign + form) for name, form in MEASURES.items())])
    return table


def differences(rows: list[Row]) -> Table:
    """How much more each row has than StyO as it is shipped."""
    return results(rows, next(row for row in rows if row.name == FULL_ROW))


def figures(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Mean and interval of every measure by row."""
    return {row.name: {name: _rounded(mean_and_interval(row.values[name])) for name in MEASURES} for row in rows}


def values(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Every measure's value for each triple by row, for comparisons that the tables do not make."""
    return {row.name: {name: _rounded(row.values[name]) for name in MEASURES} for row in rows}


def _rounded(numbers: Iterable[float]) -> list[float]:
    return [round(float(number), 5) for number in numbers]


def losses(runs: dict[str, dict[str, Run]]) -> Table:
    """The loss of every picture under every prompt, and how much its own prompt is better than the best other one."""
    table = [["prompt", *(f"{term}, {text}" for text in ("untrained", "trained") for term in TERMS)]]
    inspected = [[run.numbers for run in runs[name].values()] for name in (UNTRAINED, FULL)]
    matrices = [np.array([numbers["losses"] for numbers in part if "losses" in numbers]) for part in inspected]
    for i, term in enumerate(TERMS):
        table.append([term, *(f"{loss:.4f}" for matrix in matrices for loss in matrix.mean(0)[i])])
    margins = [
        _cell(np.delete(matrix[:, :, i], i, axis=1).min(1) - matrix[:, i, i], "+.4f")
        for matrix in matrices
        for i in range(len(TERMS))
    ]
    return [*table, ["best other - own", *margins]]


def attention(runs: dict[str, dict[str, Run]]) -> Table:
    """What maps mean: the content columns of the source pass, how far the stylization pass's own are from them, and
    where another seed's columns move a stylization.
    """
    heads = ("share of the content columns", "in the face / outside, per position", "moved by FCC")
    seeds = ("two seeds apart, pixels", "moved by another seed's columns", "nearer to that seed")
    table = [["", *heads, *seeds]]
    for name, text in ((UNTRAINED, "untrained"), (FULL, "trained")):
        inspected = [run.numbers for run in runs[name].values() if "causal" in run.numbers]
        found = [[*numbers["attention"], numbers["columns_moved"], *numbers["causal"]] for numbers in inspected]
        table.append([text, *(_cell(column, ".3f") for column in np.array(found).T)])
    return table


def seconds(runs: dict[str, dict[str, Run]]) -> Table:
    """Median seconds of a run's parts."""
    found = [run.numbers["seconds"] for run in runs[FULL].values()]
    names = list(found[0])
    return [["", *names], ["StyO", *(f"{statistics.median(run[name] for run in found):.1f} s" for name in names)]]


def _cell(values: np.ndarray, form: str) -> str:
    mean, low, high = mean_and_interval(values)
    return f"{mean:{form}} ({low:{form}} .. {high:{form}})"
