"""Training the network that reads portraits, on portraits of every family and of none."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import torch
from styo.demo.held_out import HELD_OUT_FAMILIES, stranger
from styo.demo.portraits import FAMILIES, Content, Pose, Style, render
from styo.demo.portraits.style import PROPORTIONS
from styo.demo.shapes import RESOLUTION
from tqdm.auto import trange

from .reading import GROUPS, HUES, PATH, Network, Reader, apart, from_outputs, group, to_outputs, truth

BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
WARM_UP = 100
NOISE = 0.03
"""Largest spread of the noise that training adds to a picture."""
TRAINING_SEED, VALIDATION_SEED = 1, 2
VALIDATION = 1500
"""Portraits that the network is validated on: of all families, and as many of the held-out ones."""
FREED = ("light_x", "light_y", *PROPORTIONS)
"""Parameters of a style that in half of a family's portraits do not depend on it."""
FREE = 0.5
"""Share of the portraits to train on whose style is of no family, as a result's need not be."""


@dataclasses.dataclass(frozen=True)
class Portraits:
    """``pictures`` uint8 [N, 3, 128, 128], and what there is to read in them, ``truths`` [N, all groups]."""

    pictures: torch.Tensor
    truths: np.ndarray

    @classmethod
    def rendered(cls, count: int, seed: int, families: tuple[str, ...] = tuple(FAMILIES), free: float = 0) -> Portraits:
        """Portraits of people that are not held out, the share ``free`` of them in styles of no family."""
        rng = np.random.default_rng(seed)
        pictures = torch.empty(count, 3, RESOLUTION, RESOLUTION, dtype=torch.uint8)
        truths = np.empty((count, sum(GROUPS.values())), np.float32)
        for i in trange(count, desc="rendering", mininterval=10, disable=False):
            content = Content(stranger(rng), Pose.sample(rng))
            if rng.random() < free:
                style = Style.free(rng)
            else:
                style = Style.sample(rng, families[rng.integers(len(families))])
                if rng.random() < 0.5:
                    style = dataclasses.replace(style, **{name: float(rng.uniform(-1, 1)) for name in FREED})
            pictures[i] = torch.from_numpy(np.round(255 * render(content, style))).movedim(-1, 0)
            truths[i] = truth(content, style)
        return cls(pictures, truths)


def train_reader(count: int, epochs: int) -> tuple[Reader, dict[str, str]]:
    """A reader trained on ``count`` portraits, each seen ``epochs`` times, and what it reads how well."""
    portraits = Portraits.rendered(count, TRAINING_SEED, free=FREE)
    outputs = to_outputs(portraits.truths)
    mean, spread = outputs.mean(0), outputs.std(0)
    targets = torch.from_numpy((outputs - mean) / spread)
    torch.manual_seed(0)
    network = Network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = count // BATCH
    steps = epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    progress = trange(steps, desc="training", mininterval=10, disable=False)
    for step in progress:
        if step % batches == 0:
            order = torch.randperm(count)
        picks = order[step % batches * BATCH :][:BATCH]
        loss = _loss(network(_disturbed(portraits.pictures[picks])), targets[picks])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    blind = Reader(network.eval(), mean, spread, np.sqrt(_variance(portraits)), np.zeros(sum(GROUPS.values())))
    return _validated(blind, f"{count} portraits, {epochs} epochs")


def _rate(step: int, steps: int) -> float:
    """The part of LEARNING_RATE that ``step`` takes."""
    return min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2


def _loss(standard: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean square error of each group, added up; landmarks, which must be exact, count more."""
    errors, sines = (standard - targets).square().mean(0).split([sum(GROUPS.values()), len(HUES)])
    errors = errors.index_add(0, torch.from_numpy(HUES), sines).split(list(GROUPS.values()))
    return sum(weight * error.mean() for weight, error in zip((1, 1, 3), errors, strict=True))


def _disturbed(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures as a decoder might return them: more or less blurred, with a little noise, [N, 3, 128, 128] in 0..1."""
    x = (pictures.float() / 255).to(memory_format=torch.channels_last)
    chance = torch.rand(2, len(x), 1, 1, 1)
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = torch.lerp(x, blurred, (2 * chance[0] - 1).clamp(min=0))
    return (x + NOISE * chance[1] * torch.randn_like(x)).clamp(0, 1)


def _variance(portraits: Portraits) -> np.ndarray:
    """Of every number [all groups]; a hue's is about its mean on the circle."""
    mean = from_outputs(to_outputs(portraits.truths).mean(0))
    return np.square(apart(portraits.truths, mean)).mean(0)


def _validated(blind: Reader, made_from: str) -> tuple[Reader, dict[str, str]]:
    """The reader with the R^2 that decides what is counted.

    Results are read in the held-out families, where some of a person cannot be seen (a face's colour in black and
    white): what is content is judged there. What is style, and the landmarks, is judged over all families.
    """
    r2, errors = {}, {}
    sets = {"all families": tuple(FAMILIES), "held-out families": HELD_OUT_FAMILIES}
    for name, families in sets.items():
        portraits = Portraits.rendered(VALIDATION, VALIDATION_SEED, families)
        read = blind.read(portraits.pictures.movedim(1, -1).numpy() / 255)
        unexplained = np.square(apart(read, portraits.truths)).mean(0)
        r2[name] = 1 - unexplained / np.maximum(_variance(portraits), 1e-6)
        errors[name] = round(float(blind.landmark_error(read, portraits.truths).mean()), 2)
    judged = r2["all families"].copy()
    group(judged, "content")[:] = group(r2["held-out families"], "content")
    reader = dataclasses.replace(blind, r2=judged)
    accuracy = {name: {part: round(float(np.median(group(r2[name], part))), 3) for part in GROUPS} for name in sets}
    counted = {
        part: [name for name, flag in zip(fields, group(reader.counted, part), strict=True) if flag]
        for part, fields in (("content", Content.FIELDS), ("style", Style.FIELDS))
    }
    metadata = {"median_r2": accuracy, "landmark_error_pixels": errors, "counted": counted}
    return reader, {"made_from": made_from, **{name: json.dumps(value) for name, value in metadata.items()}}


def make(count: int, epochs: int, folder: Path):
    """Train a reader, say how well it reads, and write it to ``folder``."""
    reader, metadata = train_reader(count, epochs)
    for name, text in metadata.items():
        print(f"{name}: {text}")
    folder.mkdir(parents=True, exist_ok=True)
    reader.save(folder / PATH.name, metadata)
