"""What the portrait benchmark measured, as tables of cells."""

from __future__ import annotations

import statistics

import numpy as np
from shared.intervals import mean_and_interval

from .losses import TERMS
from .rows import FULL_ROW, MEASURES, Row
from .runs import Run
from .trainings import FULL, UNTRAINED

Table = list[list[str]]


def results(rows: list[Row]) -> Table:
    """Every row's means with their intervals."""
    table = [["", *(measure.head for measure in MEASURES)]]
    return table + [[row.name, *(_cell(row.values[m.name], m.form) for m in MEASURES)] for row in rows]


def differences(rows: list[Row]) -> Table:
    """How much more each row has than StyO as it is shipped, on the same triples, with that difference's interval."""
    shipped = next(row for row in rows if row.name == FULL_ROW)
    table = [["", *(measure.head for measure in MEASURES)]]
    for row in rows:
        if row is not shipped:
            more = {m.name: row.values[m.name] - shipped.values[m.name] for m in MEASURES}
            table.append([row.name, *(_cell(more[m.name], "+" + m.form) for m in MEASURES)])
    return table


def figures(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Mean and interval of every measure by row."""
    return {
        row.name: {m.name: [round(x, 5) for x in mean_and_interval(row.values[m.name])] for m in MEASURES}
        for row in rows
    }


def values(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Every measure's value for each triple by row, for comparisons that the tables do not make."""
    return {row.name: {m.name: [round(float(x), 5) for x in row.values[m.name]] for m in MEASURES} for row in rows}


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
