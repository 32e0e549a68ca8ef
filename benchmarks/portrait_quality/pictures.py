"""The pictures of the portrait benchmark: rows in the plane of content and style, and a sheet of how they look."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shared.intervals import mean_and_interval
from torchvision.utils import make_grid

from .rows import FULL_ROW, Row
from .triples import Task

MARGIN = 4
"""Pixels of the sheet between two pictures."""
DPI, HEAD = 120, 0.6
"""Pixels an inch, and the inches above the pictures."""


def plane(tables: dict[str, list[Row]], path: Path):
    """Content error against style error, a panel a table, a point a row with both of its intervals."""
    figure = Figure(figsize=(6.5 * len(tables), 9), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (title, rows) in zip(panels, tables.items(), strict=True):
        _points(axes, rows)
        axes.set_title(f"{title}: {len(rows[0].first)} triples")
        axes.set_xlabel("content error: parameters of the person and the pose, in spreads")
        axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.09))
    panels[0].set_ylabel("style error: parameters of the style, in spreads")
    panels[0].set_xlim(left=0)
    panels[0].set_ylim(bottom=0)
    figure.suptitle("Means over triples and 95 % intervals; best is the lower left; the scales differ")
    figure.savefig(path)


def _points(axes: Axes, rows: list[Row]):
    colours = matplotlib.colormaps["tab20"].colors
    for number, row in enumerate(rows):
        (x, *x_ends), (y, *y_ends) = (mean_and_interval(row.values[name]) for name in ("content", "style"))
        bars = {"xerr": np.abs(np.array([x_ends]).T - x), "yerr": np.abs(np.array([y_ends]).T - y)}
        marker, size = ("*", 15) if row.name == FULL_ROW else ("os^D"[number % 4], 7)
        axes.errorbar(x, y, **bars, fmt=marker, ms=size, lw=1, color=colours[number % len(colours)], label=row.name)
    axes.grid(alpha=0.3)


def sheet(tasks: list[Task], rows: list[Row], path: Path):
    """A line for each of the tasks: source, target, ground truth, and every row's picture of its first seed."""
    columns = {
        name: [getattr(task, name.replace(" ", "_"))[0].numpy() for task in tasks]
        for name in ("source", "target", "ground truth")
    }
    columns |= {row.name: row.first[: len(tasks)] for row in rows}
    pictures = torch.from_numpy(np.stack([column[i] for i in range(len(tasks)) for column in columns.values()]))
    page = make_grid(pictures.movedim(-1, 1), len(columns), MARGIN, pad_value=1).movedim(0, -1)
    height, width, _ = page.shape
    figure = Figure(figsize=(width / DPI, height / DPI + HEAD), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(page)
    step = (width - MARGIN) / len(columns)
    names = ["\n".join(textwrap.wrap(name, 15)) for name in columns]
    axes.set_xticks([MARGIN + step * (i + 0.5) for i in range(len(columns))], names, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.savefig(path, pil_kwargs={"quality": 85})
