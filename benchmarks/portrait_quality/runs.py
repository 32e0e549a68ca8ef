"""Carrying out the trainings: each leaves its pictures and numbers in the work folder, where a later run finds them."""

from __future__ import annotations

import dataclasses
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

from .attention import columns_moved, content_attention
from .losses import loss_matrix
from .passes import Parts, Passes, train
from .trainings import DREAMBOOTH, FULL, Training
from .triples import Task

DENOISE = 0.6
"""How much of sampling image to image goes through."""
NUMBERS = "numbers.json"
PACKAGES = ("styo_attention", "training", "bridge", "nodes", "demo")
MODULES = ("runs", "passes", "losses", "attention")
"""Code that a run's pictures and numbers come from."""
KINDS = (("fcc", True), ("free", False))
"""Stylization with the source's attention maps, and free of them; the latter only for the full training."""


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
        pixels = (255 * image[0]).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(self.folder / f"{kind}-{seed}.png")


def made_with(*more: str) -> str:
    """What a run's results come from beside its recipe: a digest of the code and the weights, and ``more``."""
    code = [path for package in PACKAGES for path in sorted((launch.ROOT / package).rglob("*.py"))]
    code += [Path(__file__).with_name(f"{name}.py") for name in MODULES]
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
    """The passes from noise and from the inverted source; of a model without training only the source passes."""
    task, recipe, seconds = run.task, run.training.recipe, {}
    images = {"source_image": task.source, "target_image": task.target}
    if recipe.auxiliary_count:
        images["auxiliary_images"] = task.auxiliary(recipe.auxiliary_count)
    if recipe.steps:
        parts = _timed(seconds, "training", lambda: train(parts, images, recipe))
    kinds = KINDS if run.training.name == FULL else KINDS[:1] if recipe.steps else ()
    passes, first = Passes(parts, recipe), run.training.seeds[0]
    starts = {("inverted", first): _timed(seconds, "inversion", lambda: passes.from_inverted(task.source))}
    starts |= {("noise", seed): passes.from_noise(seed) for seed in run.training.seeds}
    for (start_name, seed), start in starts.items():
        source = _timed(seconds, "source pass", lambda start=start: start.source)
        run.keep(f"{start_name}-source", seed, parts.decode(source))
        for kind, fcc in kinds:
            latent = _timed(seconds, f"stylization, {kind}", lambda start=start, fcc=fcc: start.stylized(fcc))
            run.keep(f"{start_name}-{kind}", seed, parts.decode(latent))
    numbers = {"seconds": seconds}
    if run.training.inspected:
        landmarks = features(task.triple.source, task.triple.photo)
        inspected = {name: start for (name, seed), start in starts.items() if seed == first}
        numbers["attention"] = {name: content_attention(start.source, landmarks) for name, start in inspected.items()}
        numbers["columns_moved"] = {
            name: columns_moved(start.source, start.stylized_with_own_maps()) for name, start in inspected.items()
        }
        pictures = {name.partition("_")[0]: image for name, image in images.items()}
        numbers["losses"] = loss_matrix(passes, pictures).tolist()
    return numbers


def _dreambooth(run: Run, parts: Parts) -> dict:
    """The artwork alone under one identifier for its style, and then image to image from the photo."""
    task, recipe, seconds = run.task, run.training.recipe, {}
    parts = _timed(seconds, "training", lambda: train(parts, {"auxiliary_images": task.target}, recipe))
    passes = Passes(parts, recipe)
    source = parts.encode(task.source)
    for seed in run.training.seeds:
        latent = passes.sample(parts.model, passes.auxiliary, source, seed, denoise=DENOISE)
        run.keep("image-to-image", seed, parts.decode(latent))
    return {"seconds": seconds}


def _timed(seconds: dict[str, float], name: str, work):
    """What ``work`` returns; its seconds are noted, those of the latest run of a name."""
    begin = time.monotonic()
    result = work()
    seconds[name] = round(time.monotonic() - begin, 2)
    return result
