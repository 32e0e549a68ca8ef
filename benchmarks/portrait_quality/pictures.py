"""The pictures of the portrait benchmark: rows in the plane of content and style, and a sheet of how they look."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from shared.intervals import mean_and_interval

from .rows import FULL_ROW, Row
from .triples import Task

SIDE, MARGIN, HEAD = 104, 4, 34
"""Pixels of the sheet: a picture's side, the gap between two, and the height of the captions."""


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
        bars = {"xerr": _bars(x, x_ends), "yerr": _bars(y, y_ends)}
        marker = "*" if row.name == FULL_ROW else "os^D"[number % 4]
        size = 15 if row.name == FULL_ROW else 7
        colour = colours[number % len(colours)]
        axes.errorbar(x, y, **bars, fmt=marker, ms=size, lw=1, color=colour, label=row.name)
    axes.grid(alpha=0.3)


def _bars(mean: float, ends: list[float]) -> np.ndarray:
    return np.array([[mean - ends[0]], [ends[1] - mean]])


def sheet(tasks: list[Task], rows: list[Row], path: Path):
    """A line for each of the tasks: source, target, ground truth, and every row's picture of its first seed."""
    given = {"source": [], "target": [], "ground truth": []}
    for task in tasks:
        for name, image in zip(given, (task.source, task.target, task.ground_truth), strict=True):
            given[name].append(image[0].numpy())
    columns = given | {row.name: row.first[: len(tasks)] for row in rows}
    step = SIDE + MARGIN
    page = Image.new("RGB", (step * len(columns) + MARGIN, step * len(tasks) + HEAD), "white")
    draw = ImageDraw.Draw(page)
    for column, (name, pictures) in enumerate(columns.items()):
        left = MARGIN + column * step
        draw.multiline_text((left, 2), _wrapped(draw, name), fill="black", spacing=1)
        for line, picture in enumerate(pictures):
            small = Image.fromarray(np.round(255 * picture).astype(np.uint8)).resize((SIDE, SIDE), Image.LANCZOS)
            page.paste(small, (left, HEAD + line * step))
    page.save(path, quality=85)


def _wrapped(draw: ImageDraw.ImageDraw, text: str) -> str:
    """``text`` in lines as wide as a picture."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer) <= SIDE:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
