"""The rows of the portrait benchmark: where each one's pictures come from, and what they are measured to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from . import metrics
from .colour_transfer import transfer_colours
from .passes import Parts
from .reading import Reader, truth
from .runs import ATTENTION, FORWARD, FREE, IMAGE, INVERTED, SOURCE, Run
from .trainings import DREAMBOOTH, FULL, NEGATIVE, POSITIVE
from .triples import Task

MAIN, PASSES, COMPONENTS, SETTINGS = "Results", "Source passes", "Prompts and auxiliary faces", "Repeats and methods"
FULL_ROW = "StyO"
STYO_ROWS = {
    FULL_ROW: FORWARD,
    "StyO, source inverted": INVERTED,
    "StyO, Source Attention": ATTENTION,
    "StyO, without FCC": FREE,
    "StyO, image to image": IMAGE,
}
"""Rows of the full training by what their pictures are, as in the paper's Figure 5."""
TITLES = {POSITIVE: "positive identifiers alone", NEGATIVE: "positive and negative", FULL: FULL_ROW}
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
    Measure("diversity", "diversity", ".3f"),
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
        return self._row(name, tasks, pictures, "ground_truth", "style")

    def photo_row(self, name: str, tasks: list[Task], pictures: Callable[[Task], np.ndarray]) -> Row:
        """The same where the right answer is the photo, and the style its own."""
        return self._row(name, tasks, pictures, "source", "photo")

    def _row(self, name: str, tasks: list[Task], pictures, answer: str, style: str) -> Row:
        found = {task.name: pictures(task) for task in tasks}
        values = [
            self._values(
                found[task.name],
                getattr(task, answer)[0].numpy(),
                (task.source if style == "photo" else task.target)[0].numpy(),
                truth(task.triple.source, getattr(task.triple, style)),
            )
            for task in tasks
        ]
        by_measure = {m.name: np.array([value[m.name] for value in values]) for m in MEASURES}
        return Row(name, by_measure, [found[task.name][0] for task in tasks])

    def _values(self, pictures: np.ndarray, right: np.ndarray, target: np.ndarray, true: np.ndarray) -> dict:
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
            "diversity": [metrics.diversity(pictures)],
        }
        return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def tables_of_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task]) -> dict[str, list[Row]]:
    """All rows by their table; ``runs`` are those of a training by the name of their task, by the training's name."""
    styo = [judge.row(name, tasks, _kept(runs[FULL], kind)) for name, kind in STYO_ROWS.items()]
    tables = {MAIN: styo + _baseline_rows(judge, runs, tasks), PASSES: _source_rows(judge, runs, tasks)}
    components = [name for name in (POSITIVE, NEGATIVE) if name in runs]
    settings = [name for name in runs if name.startswith(("style-repeats", "content-repeats", "method", "optimizer"))]
    for title, trainings in ((COMPONENTS, components), (SETTINGS, settings)):
        if trainings:
            fewer = [task for task in tasks if task.name in runs[trainings[0]]]
            rows = [(_title(name), _kept(runs[name], FORWARD)) for name in (*trainings, FULL)]
            tables[title] = [judge.row(name, fewer, pictures) for name, pictures in rows]
    return tables


def _source_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task]) -> list[Row]:
    """How nearly source passes give the photo back, beside what the VAE makes of it."""
    rows = {
        "source pass, forward-diffused photo": _kept(runs[FULL], f"{SOURCE}-{FORWARD}"),
        "source pass, inverted photo": _kept(runs[FULL], f"{SOURCE}-{INVERTED}"),
        "the photo through the VAE": _through_vae(lambda task: task.source),
        "the photo itself": lambda task: task.source.numpy(),
    }
    return [judge.photo_row(name, tasks, pictures) for name, pictures in rows.items()]


def _baseline_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task]) -> list[Row]:
    baselines = {
        "DreamBooth, image to image": _kept(runs[DREAMBOOTH], IMAGE),
        "colour transfer (Reinhard)": lambda task: transfer_colours(*_photo_and_artwork(task))[None],
        SOURCE_ROW: lambda task: task.source.numpy(),
        TARGET_ROW: lambda task: task.target.numpy(),
        THROUGH_VAE_ROW: _through_vae(lambda task: task.ground_truth),
    }
    return [judge.row(name, tasks, pictures) for name, pictures in baselines.items()]


def _title(training: str) -> str:
    setting, _, value = training.rpartition("-")
    return TITLES.get(training, f"{setting.replace('-', '_')} {value}")


def _kept(runs: dict[str, Run], kind: str) -> Callable[[Task], np.ndarray]:
    return lambda task: runs[task.name].pictures(kind)


def _photo_and_artwork(task: Task) -> tuple[np.ndarray, np.ndarray]:
    return task.source[0].numpy(), task.target[0].numpy()


def _through_vae(image: Callable[[Task], torch.Tensor]) -> Callable[[Task], np.ndarray]:
    """What the VAE makes of an IMAGE of each task."""
    parts = Parts.demo()

    def through(task: Task) -> np.ndarray:
        with torch.inference_mode():
            return parts.decode(parts.encode(image(task))).numpy()

    return through
