"""Carrying out the trainings: each leaves its pictures and numbers in the work folder, where a later run finds them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from shared import launch
from styo.demo import weights
from styo.demo.portraits import features
from torchvision.utils import save_image

from . import inside
from .passes import Parts, PortraitPasses, train
from .trainings import DREAMBOOTH, FULL, INSPECTED_TRIPLES, UNTRAINED, Training
from .triples import Task

NUMBERS = "numbers.json"
PACKAGES = ("styo_attention", "training", "bridge", "nodes", "demo")
MODULES = ("portrait_quality/runs", "portrait_quality/passes", "portrait_quality/inside", "shared/passes")
"""Code that a run's pictures and numbers come from."""
SOURCE, FREE, FORWARD, INVERTED, ATTENTION, IMAGE = "source", "free", "forward", "inverted", "attention", "image"
"""Kinds of pictures: source passes, and stylizations: free of FCC, with the maps of the forward-diffused and of the
inverted source, by StyO Source Attention, and image to image."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of one triple, in its ``folder``."""

    task: Task
    training: Training
    folder: Path

    @classmethod
    def within(cls, work: Path, task: Task, training: Training, made_with: str) -> Run:
        """The run's folder has a name of its own for every recipe, seeds, pictures and ``made_with``."""
        identity = hashlib.sha256(repr((training.recipe, training.seeds, made_with)).encode())
        for picture in (task.source, task.target, task.ground_truth):
            identity.update(picture.numpy().tobytes())
        return cls(task, training, work / task.name / f"{training.name}-{identity.hexdigest()[:10]}")

    @property
    def finished(self) -> bool:
        return (self.folder / NUMBERS).is_file()

    @property
    def numbers(self) -> dict:
        """What was measured while it ran."""
        return json.loads((self.folder / NUMBERS).read_text("utf-8"))

    def pictures(self, kind: str) -> np.ndarray:
        """The pictures of a kind by seed, float32 [seeds, 128, 128, 3] in 0..1."""
        paths = sorted(self.folder.glob(f"{kind}-[0-9].png"))
        return np.stack([np.asarray(Image.open(path), np.float32) / 255 for path in paths])

    def keep(self, kind: str, seed: int, image: torch.Tensor):
        """Write an IMAGE of one picture."""
        save_image(image[0].movedim(-1, 0), self.folder / f"{kind}-{seed}.png")


def made_with(*more: str) -> str:
    """What a run's results come from beside its recipe: a digest of the code and the weights, and ``more``."""
    code = [path for package in PACKAGES for path in sorted((launch.ROOT / package).rglob("*.py"))]
    code += [launch.ROOT / "benchmarks" / f"{name}.py" for name in MODULES]
    digests = [weights.digest(path) for path in (*code, weights.PATH)]
    return hashlib.sha256(repr((digests, torch.__version__, more)).encode()).hexdigest()


def carry_out(run: Run) -> float:
    """Train and sample, unless that is done already; returns the seconds it took."""
    if run.finished:
        return 0.0
    begin = time.monotonic()
    run.folder.mkdir(parents=True, exist_ok=True)
    numbers = (_dreambooth if run.training.name == DREAMBOOTH else _styo)(run, Parts.demo())
    partial = run.folder / f"{NUMBERS}.partial"
    partial.write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    os.replace(partial, run.folder / NUMBERS)
    return time.monotonic() - begin


def _styo(run: Run, parts: Parts) -> dict:
    """The source passes and the stylizations; of a model without training only the inside."""
    task, name, recipe, seconds = run.task, run.training.name, run.training.recipe, {}
    images = {"source_image": task.source, "target_image": task.target}
    if recipe.auxiliary_count:
        images["auxiliary_images"] = task.auxiliary(recipe.auxiliary_count)
    if recipe.steps:
        parts = _timed(seconds, "training", train, parts, images, recipe)
    passes = PortraitPasses(parts, recipe)
    if recipe.steps:
        _stylize(run, passes, seconds)
    inspected = name in (FULL, UNTRAINED) and task.number < INSPECTED_TRIPLES
    return {"seconds": seconds} | (_inside(run, passes, images) if inspected else {})


def _stylize(run: Run, passes: PortraitPasses, seconds: dict[str, float]):
    photo, whole = run.task.source, run.training.name == FULL
    stylize = {}
    for kind, make in ((FORWARD, passes.forward_diffused), (INVERTED, passes.inverted))[: 1 + whole]:
        source = _timed(seconds, f"source pass, {kind}", make, photo)
        run.keep(f"{SOURCE}-{kind}", 0, passes.parts.decode(source))
        stylize[kind] = functools.partial(passes.stylization, source=source)
    if whole:
        stylize[FREE] = passes.stylization
        stylize[ATTENTION] = functools.partial(passes.source_attention, passes.parts.encode(photo))
        stylize[IMAGE] = functools.partial(passes.image_to_image, photo)
    for kind, make in stylize.items():
        for seed in run.training.seeds:
            latent = _timed(seconds, f"stylization, {kind}", make, seed=seed)
            run.keep(kind, seed, passes.parts.decode(latent))


def _inside(run: Run, passes: PortraitPasses, images: dict[str, torch.Tensor]) -> dict:
    """What the maps and the identifiers mean."""
    triple = run.task.triple
    source, own = passes.forward_diffused(run.task.source), passes.captured_stylization(run.training.seeds[0])
    pictures = {name.partition("_")[0]: image for name, image in images.items()}
    return {
        "attention": inside.content_attention(source, features(triple.source, triple.photo)),
        "columns_moved": inside.columns_moved(source, own),
        "causal": inside.moved_towards(passes),
        "losses": inside.loss_matrix(passes, pictures).tolist(),
    }


def _dreambooth(run: Run, parts: Parts) -> dict:
    """The artwork alone under one identifier for its style, and then image to image from the photo."""
    task, recipe, seconds = run.task, run.training.recipe, {}
    parts = _timed(seconds, "training", train, parts, {"auxiliary_images": task.target}, recipe)
    passes = PortraitPasses(parts, recipe)
    for seed in run.training.seeds:
        run.keep(IMAGE, seed, parts.decode(passes.image_to_image(task.source, seed, passes.auxiliary)))
    return {"seconds": seconds}


def _timed(seconds: dict[str, float], name: str, work, *args, **kwargs):
    """What ``work`` returns; its seconds are noted, those of the latest run of a name."""
    begin = time.monotonic()
    result = work(*args, **kwargs)
    seconds[name] = round(time.monotonic() - begin, 2)
    return result
