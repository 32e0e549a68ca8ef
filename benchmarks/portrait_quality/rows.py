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
from .trainings import DREAMBOOTH, FULL, NEGATIVE, POSITIVE, UNTRAINED
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


MEASURES = {
    "pixels": ".3f",
    "blended": ".3f",
    "ssim": ".3f",
    "content": ".2f",
    "landmarks": ".1f",
    "style": ".2f",
    "colour": ".1f",
    "texture": ".2f",
    "diversity": ".3f",
}
"""The numbers of a picture, and how each is written."""


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

    def row(self, name: str, tasks: list[Task], pictures: Callable[[Task], np.ndarray], of_photo: bool = False) -> Row:
        """A row whose pictures [seeds, 128, 128, 3] of each task are ``pictures(task)``; seeds are averaged.

        With ``of_photo`` the right answer is the photo, and the style its own.
        """
        values, first = [], []
        for task in tasks:
            found, triple = pictures(task), task.triple
            style = triple.photo if of_photo else triple.style
            right, artwork = (task.source, task.source) if of_photo else (task.ground_truth, task.target)
            values.append(self._values(found, right[0].numpy(), artwork[0].numpy(), truth(triple.source, style)))
            first.append(found[0])
        return Row(name, {measure: np.array([value[measure] for value in values]) for measure in MEASURES}, first)

    def _values(self, pictures: np.ndarray, right: np.ndarray, artwork: np.ndarray, true: np.ndarray) -> dict:
        read = self._reader.read(pictures)

        def each(distance: Callable, other: np.ndarray) -> list[float]:
            return [distance(picture, other) for picture in pictures]

        values = {
            "pixels": each(metrics.pixel_error, right),
            "blended": each(metrics.blended_error, right),
            "ssim": each(metrics.similarity, right),
            "content": self._reader.error(read, true, "content"),
            "landmarks": self._reader.landmark_error(read, true),
            "style": self._reader.error(read, true, "style"),
            "colour": each(metrics.colour_distance, artwork),
            "texture": each(metrics.texture_distance, artwork),
            "diversity": [metrics.diversity(pictures)],
        }
        return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def tables_of_rows(judge: Judge, runs: dict[str, dict[str, Run]], tasks: list[Task]) -> dict[str, list[Row]]:
    """All rows by their table; ``runs`` are those of a training by the name of their task, by the training's name."""

    def kept(training: str, kind: str) -> Callable[[Task], np.ndarray]:
        return lambda task: runs[training][task.name].pictures(kind)

    results = {name: kept(FULL, kind) for name, kind in STYO_ROWS.items()} | {
        "DreamBooth, image to image": kept(DREAMBOOTH, IMAGE),
        "colour transfer (Reinhard)": lambda t: transfer_colours(t.source[0].numpy(), t.target[0].numpy())[None],
        SOURCE_ROW: lambda task: task.source.numpy(),
        TARGET_ROW: lambda task: task.target.numpy(),
        THROUGH_VAE_ROW: _through_vae(lambda task: task.ground_truth),
    }
    photos = {
        "source pass, forward-diffused photo": kept(FULL, f"{SOURCE}-{FORWARD}"),
        "source pass, inverted photo": kept(FULL, f"{SOURCE}-{INVERTED}"),
        "the photo through the VAE": _through_vae(lambda task: task.source),
        "the photo itself": lambda task: task.source.numpy(),
    }
    tables = {
        MAIN: [judge.row(name, tasks, pictures) for name, pictures in results.items()],
        PASSES: [judge.row(name, tasks, pictures, of_photo=True) for name, pictures in photos.items()],
    }
    components = [name for name in (POSITIVE, NEGATIVE) if name in runs]
    settings = [name for name in runs if name not in (FULL, DREAMBOOTH, UNTRAINED, *components)]
    for title, trainings in ((COMPONENTS, components), (SETTINGS, settings)):
        if trainings:
            fewer = [task for task in tasks if task.name in runs[trainings[0]]]
            tables[title] = [judge.row(_title(name), fewer, kept(name, FORWARD)) for name in (*trainings, FULL)]
    return tables


def _title(training: str) -> str:
    setting, _, value = training.rpartition("-")
    return TITLES.get(training, f"{setting.replace('-', '_')} {value}")


def _through_vae(image: Callable[[Task], torch.Tensor]) -> Callable[[Task], np.ndarray]:
    """What the VAE makes of an IMAGE of each task."""
    parts = Parts.demo()
    return lambda task: parts.decode(parts.encode(image(task))).numpy()
