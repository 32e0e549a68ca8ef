"""What the demo can run: the demo model's own workflow, or the main workflow on a checkpoint of the user's."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import sample_pictures
import templates
import torch
from PIL import Image
from template_parts import BLUEPRINT, FACES
from workflow import Workflow

PICTURES = {
    "source_pass.png": templates.SHOWN_SOURCE_PASS,
    "stylized_without_fcc.png": templates.SHOWN_WITHOUT_FCC,
    "stylized_with_fcc.png": templates.RESULT,
    "loss.png": templates.LOSS,
}
"""Files that are written, and the nodes of the workflow whose pictures they are."""


@dataclasses.dataclass(frozen=True)
class DemoModelJob:
    """The workflow that needs nothing but the pack."""

    options: argparse.Namespace

    workflow = templates.path(templates.DEMO)
    pictures = {
        "source.png": templates.SHOWN_PHOTO,
        "target.png": templates.SHOWN_ARTWORK,
        **PICTURES,
        "ground_truth.png": templates.TRUTH,
    }
    drawn = (
        "stylized_without_fcc.png",
        "stylized_without_fcc_2.png",
        "stylized_with_fcc.png",
        "stylized_with_fcc_2.png",
    )
    sheet = ("source.png", "target.png", *drawn, "ground_truth.png")
    model_folders: dict[str, Path] = dataclasses.field(default_factory=dict)

    def prepare(self, workflow: Workflow, _: Path) -> str:
        """Bring the command line into the workflow; returns what is going to run."""
        steps, sampling_steps = self.options.steps, self.options.sampling_steps
        if steps:
            workflow.set(BLUEPRINT, training_steps=steps)
        if self.options.learning_rate:
            workflow.set(BLUEPRINT, learning_rate=self.options.learning_rate)
        if sampling_steps:
            workflow.set(BLUEPRINT, sampling_steps=sampling_steps)
        training, sampling = (workflow.value(BLUEPRINT, name) for name in ("training_steps", "sampling_steps"))
        return f"the demo model: {training} training steps, {sampling} sampling steps"

    def numbers(self, output: Path) -> list[str]:
        """How far each picture is from the right answer, as mean absolute difference of pixels in 0..1."""
        truth = _pixels(output / "ground_truth.png")
        lines = ["Mean difference to the ground truth (0 is equal):"]
        for name in self.sheet[:-1]:
            lines.append(f"  {np.abs(_pixels(output / name) - truth).mean():.3f}  {name}")
        return lines


@dataclasses.dataclass(frozen=True)
class CheckpointJob:
    """The main workflow on the user's checkpoint, with a real photo, a painting of it, and the paper's settings."""

    options: argparse.Namespace

    workflow = templates.path(templates.FULL)
    pictures = PICTURES
    sheet = ("source.png", "target.png", *PICTURES)

    @property
    def model_folders(self) -> dict[str, Path]:
        """ComfyUI's folder of checkpoints."""
        return {"checkpoints": self.options.checkpoint.absolute().parent}

    def prepare(self, workflow: Workflow, folder: Path) -> str:
        """Write the sample pictures into ``folder``, ComfyUI's input, and bring all settings into the workflow."""
        options = self.options
        photo, painting, _ = sample_pictures.write(folder)
        shutil.copy(photo, options.output / "source.png")
        shutil.copy(painting, options.output / "target.png")
        steps, sampling_steps, size = options.steps or 400, options.sampling_steps or 50, options.resolution or 512
        workflow.set(templates.CHECKPOINT, ckpt_name=options.checkpoint.name)
        workflow.set(templates.PHOTO, image=photo.name)
        workflow.set(templates.ARTWORK, image=painting.name)
        workflow.set(FACES, size=size)
        workflow.set(BLUEPRINT, training_steps=steps, sampling_steps=sampling_steps, size=size)
        if options.learning_rate:
            workflow.set(BLUEPRINT, learning_rate=options.learning_rate)
        if not torch.accelerator.is_available():
            workflow.set("StyOIDLTrain", precision="fp32", gradient_checkpointing=False)  # what a CPU is fastest at
        return f"{options.checkpoint.name}: {steps} training steps, {sampling_steps} sampling steps, {size} pixels"

    def numbers(self, _: Path) -> list[str]:
        """Nothing is known to compare with."""
        return []


Job = DemoModelJob | CheckpointJob


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
