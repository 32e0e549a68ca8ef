"""What the demo can run: the demo model's own workflow, or the main workflow on a checkpoint of the user's."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import environment
import numpy as np
import sample_pictures
import torch
from PIL import Image
from workflow import Workflow

WORKFLOWS = environment.ROOT / "example_workflows"
SAMPLERS = ("Source pass", "Stylized, with FCC", "Stylized, without FCC")
PICTURES = {
    "source_pass.png": "Source pass: should be the photo",
    "stylized_without_fcc.png": "For comparison: without FCC",
    "stylized_with_fcc.png": "Result: stylized with FCC",
    "loss.png": "Loss",
}
"""Files that are written, and the nodes of the workflow whose pictures they are."""


@dataclasses.dataclass(frozen=True)
class DemoModelJob:
    """The workflow that needs nothing but the pack."""

    options: argparse.Namespace

    workflow = WORKFLOWS / "styo_demo.json"
    pictures = {
        "source.png": "Source: the face photo",
        "target.png": "Target: the artwork",
        **PICTURES,
        "ground_truth.png": "Ground truth: the right answer",
    }
    sheet = ("source.png", "target.png", "stylized_without_fcc.png", "stylized_with_fcc.png", "ground_truth.png")
    model_folders: dict[str, Path] = dataclasses.field(default_factory=dict)

    def prepare(self, workflow: Workflow, _: Path) -> str:
        """Bring the command line into the workflow; returns what is going to run."""
        steps, sampling_steps = self.options.steps, self.options.sampling_steps
        if steps:
            workflow.set("StyOIDLTrain", steps=steps)
        if self.options.learning_rate:
            workflow.set("StyOIDLTrain", learning_rate=self.options.learning_rate)
        if sampling_steps:
            for node in (*SAMPLERS, "StyOInvertSource"):
                workflow.set(node, steps=sampling_steps)
        training, sampling = (workflow.value(node, "steps") for node in ("StyOIDLTrain", SAMPLERS[0]))
        return f"the demo model: {training} training steps, {sampling} sampling steps"

    def numbers(self, output: Path) -> list[str]:
        """How far each picture is from the right answer, as mean absolute difference of pixels in 0..1."""
        truth = _pixels(output / "ground_truth.png")
        lines = ["Mean difference to the ground truth (0 is equal):"]
        for name in ("source.png", "target.png", "stylized_without_fcc.png", "stylized_with_fcc.png"):
            lines.append(f"  {np.abs(_pixels(output / name) - truth).mean():.3f}  {name}")
        return lines


@dataclasses.dataclass(frozen=True)
class CheckpointJob:
    """The main workflow on the user's checkpoint, with a real photo, a painting of it, and the paper's settings."""

    options: argparse.Namespace

    workflow = WORKFLOWS / "styo.json"
    pictures = PICTURES
    sheet = ("source.png", "target.png", *PICTURES)

    @property
    def model_folders(self) -> dict[str, Path]:
        """ComfyUI's folder of checkpoints."""
        return {"checkpoints": self.options.checkpoint.absolute().parent}

    def prepare(self, workflow: Workflow, folder: Path) -> str:
        """Write the sample pictures into ``folder``, ComfyUI's input, and bring all settings into the workflow."""
        options = self.options
        photo, painting, faces = sample_pictures.write(folder)
        shutil.copy(photo, options.output / "source.png")
        shutil.copy(painting, options.output / "target.png")
        steps, sampling_steps, size = options.steps or 400, options.sampling_steps or 50, options.resolution or 512
        workflow.set("Checkpoint (SD 1.x)", ckpt_name=options.checkpoint.name)
        workflow.set("Source: the face photo", image=photo.name)
        workflow.set("Target: the artwork", image=painting.name)
        workflow.set("Other faces (optional: switch on with Ctrl+B)", folder=faces.name)
        rate = options.learning_rate or 1e-6
        workflow.set("StyOIDLTrain", steps=steps, learning_rate=rate, resolution=size)
        if not torch.accelerator.is_available():
            workflow.set("StyOIDLTrain", precision="fp32", gradient_checkpointing=False)  # what a CPU is fastest at
        workflow.set("Size of all passes", width=size, height=size)
        for sampler in SAMPLERS:
            workflow.set(sampler, steps=sampling_steps)
        return f"{options.checkpoint.name}: {steps} training steps, {sampling_steps} sampling steps, {size} pixels"

    def numbers(self, _: Path) -> list[str]:
        """Nothing is known to compare with."""
        return []


Job = DemoModelJob | CheckpointJob


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
