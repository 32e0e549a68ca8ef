"""The rows of the portrait benchmark: where each one's pictures come from, and what they are measured to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch

from . import metrics
from .colour_transfer import transfer_colours
from .passes import Parts
from .reading import Reader, truth
from .runs import Run
from .trainings import DREAMBOOTH, FULL, NO_AUXILIARY, NO_NEGATORS
from .triples import Task

MAIN, COMPONENTS, SETTINGS = "Results", "Without one component", "Repeats and methods"
FULL_ROW, SHIPPED_ROW = "StyO", "StyO, source inverted"
WITH_FCC, WITHOUT_FCC = ("", "fcc"), (", without FCC", "free")
FROM_NOISE, FROM_INVERTED = ("", "noise"), (", source inverted", "inverted")
SOURCE_ROW, TARGET_ROW = "the source itself", "the target itself"
THROUGH_VAE_ROW = "ground truth through the VAE (ceiling)"
PICTURES_BESIDE = (SOURCE_ROW, TARGET_ROW, THROUGH_VAE_ROW)
"""Rows whose pictures the contact sheet shows anyway, or that look as the right answer does."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a picture: its name, the head of its column, and how it is written."""

    name: str
    head: str
    form: str


MEASURES = (
    Measure("pixels", "pixels", ".3f"),
    Measure("blended", "blended", ".3f"),
    Measure("ssim", "SSIM", ".3f"),
    Measure("content", "content", ".2f"),
    Measure("landmarks", "landmarks", ".1f"),
    Measure("style", "style", ".2f"),
    Measure("colour", "colour", ".1f"),
    Measure("texture", "texture", ".2f"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """``values`` [triples] by measure, and the ``first`` seed's picture of every triple."""

    name: str
    values: dict[str, np.ndarray]
    first: list[np.ndarray]


class Judge:
    """Measures pictures against the truth of their task."""

    def __init__(self, reader: Reader):
        self._reader = reader

    def row(self, name: str, tasks: list[Task], pictures: Callable[[Task], np.ndarray]) -> Row:
        """A row whose pictures [seeds, 128, 128, 3] of each task are ``pictures(task)``; seeds are averaged."""
        found = {task.name: pictures(task) for task in tasks}
        values = [self._values(task, found[task.name]) for task in tasks]
        by_measure = {m.name: np.array([value[m.name] for value in values]) for m in MEASURES}
        return Row(name, by_measure, [found[task.name][0] for task in tasks])

    def _values(self, task: Task, pictures: np.ndarray) -> dict[str, float]:
        right, target = task.ground_truth[0].numpy(), task.target[0].numpy()
        true = truth(task.triple.source, task.triple.style)
        read = self._reader.read(pictures)
        values = {
            "pixels": [metrics.pixel_error(picture, right) for picture in pictures],
            "blended": [metrics.blended_error(picture, right) for picture in pictures],
            "ssim": [metrics.similarity(picture, right) for picture in pictures],
            "content": self._reader.error(read, true, "content"),
            "landmarks": self._reader.landmark_error(read, true),
            "style": self._reader.error(read, true, "style"),
            "colour": [metrics.colour_distance(picture, target) for picture in pictures],
            "texture": [metrics.texture_distance(picture, target) for picture in pictures],
        }
        return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def tables_of_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task]) -> dict[str, list[Row]]:
    """All rows by their table; ``runs`` are those of a training by the name of their task, by the training's name."""
    tables = {MAIN: _styo_rows(judge, runs, tasks, ()) + _baseline_rows(judge, runs, tasks)}
    components = [name for name in (NO_NEGATORS, NO_AUXILIARY) if name in runs]
    settings = [name for name in runs if name.startswith(("style-repeats", "content-repeats", "method"))]
    for title, trainings in ((COMPONENTS, components), (SETTINGS, settings)):
        if trainings:
            fewer = [task for task in tasks if task.name in runs[trainings[0]]]
            tables[title] = _styo_rows(judge, runs, fewer, trainings)
    return tables


def _styo_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task], others: Sequence[str]) -> list[Row]:
    """StyO with and without FCC, and after ``others`` among the trainings; from noise and from the inverted source."""
    rows = []
    for start_text, start in (FROM_NOISE, FROM_INVERTED):
        for fcc_text, fcc in (WITH_FCC, WITHOUT_FCC):
            kept = _kept(runs[FULL], f"{start}-{fcc}")
            rows.append(judge.row(FULL_ROW + start_text + fcc_text, tasks, kept))
        for name in others:
            rows.append(judge.row(_title(name) + start_text, tasks, _kept(runs[name], f"{start}-fcc")))
    return rows


def _baseline_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task]) -> list[Row]:
    baselines = {
        "DreamBooth, image to image": _kept(runs[DREAMBOOTH], "image-to-image"),
        "colour transfer (Reinhard)": lambda task: transfer_colours(*_photo_and_artwork(task))[None],
        SOURCE_ROW: lambda task: task.source.numpy(),
        TARGET_ROW: lambda task: task.target.numpy(),
        THROUGH_VAE_ROW: _through_vae(),
    }
    return [judge.row(name, tasks, pictures) for name, pictures in baselines.items()]


def _title(training: str) -> str:
    titles = {FULL: FULL_ROW, NO_NEGATORS: "StyO, no negators", NO_AUXILIARY: "StyO, no auxiliary faces"}
    if training in titles:
        return titles[training]
    setting, _, value = training.rpartition("-")
    return f"{setting.replace('-', '_')} {value}"


def _kept(runs: dict[str, Run], kind: str) -> Callable[[Task], np.ndarray]:
    return lambda task: runs[task.name].pictures(kind)


def _photo_and_artwork(task: Task) -> tuple[np.ndarray, np.ndarray]:
    return task.source[0].numpy(), task.target[0].numpy()


def _through_vae() -> Callable[[Task], np.ndarray]:
    """What the VAE makes of the ground truth."""
    parts = Parts.demo()

    def through(task: Task) -> np.ndarray:
        with torch.inference_mode():
            return parts.decode(parts.encode(task.ground_truth)).numpy()

    return through
