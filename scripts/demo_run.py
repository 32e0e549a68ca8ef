"""The demo itself, inside the environment: one run of the shipped workflow and its pictures on one sheet."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import comfy_server
import environment
import sample_pictures
import sd15_checkpoint
import torch
from PIL import Image, ImageDraw, ImageFont
from workflow import Workflow

WORKFLOW = environment.ROOT / "example_workflows" / "styo.json"
SAMPLERS = ("Source pass", "Stylized, with FCC", "Stylized, without FCC")
RESULTS = {
    "source_pass.png": "Source pass: should be the photo",
    "stylized_without_fcc.png": "For comparison: without FCC",
    "stylized_with_fcc.png": "Result: stylized with FCC",
    "loss.png": "Loss",
}
"""The files the demo writes, and the nodes of the workflow whose pictures they are."""
TILE, CAPTION = 384, 36


def run(options: argparse.Namespace):
    """Start ComfyUI, run the workflow with these options, and write the pictures; exit with a node's error."""
    checkpoint = options.checkpoint or _random_checkpoint()
    models = {"checkpoints": checkpoint.absolute().parent}
    with tempfile.TemporaryDirectory(prefix="styo-demo-") as folder:
        photo, painting, faces = sample_pictures.write(Path(folder, "input"))
        print(f"Starting ComfyUI from {os.environ['COMFYUI_PATH']} with this pack ...", flush=True)
        try:
            with comfy_server.serve(Path(folder), model_folders=models) as server:
                workflow = Workflow.load(WORKFLOW, server.get("/object_info"))
                workflow.set("Checkpoint (SD 1.x)", ckpt_name=checkpoint.name)
                workflow.set("Source: the face photo", image=photo.name)
                workflow.set("Target: the artwork", image=painting.name)
                workflow.set("Other faces (optional: switch on with Ctrl+B)", folder=faces.name)
                _apply(options, workflow)
                print(
                    f"Running {WORKFLOW.relative_to(environment.ROOT)} on {checkpoint.name}: {options.steps} training"
                    f" steps, {options.sampling_steps} sampling steps, {options.resolution} pixels"
                )
                progress = ProgressLines(workflow)
                result = server.run(workflow.prompt(), workflow.graph, progress)
                progress.end()
                _collect(server, workflow, result, options.output, (photo, painting))
        except (comfy_server.WorkflowError, RuntimeError) as error:
            sys.exit(f"\n{error}")


def _apply(options: argparse.Namespace, workflow: Workflow):
    """Bring the settings of the command line into the workflow."""
    size, rate = options.resolution, options.learning_rate
    workflow.set("StyOIDLTrain", steps=options.steps, learning_rate=rate, resolution=size)
    if not torch.accelerator.is_available():
        workflow.set("StyOIDLTrain", precision="fp32", gradient_checkpointing=False)  # what a CPU is fastest at
    workflow.set("Size of all passes", width=size, height=size)
    for sampler in SAMPLERS:
        workflow.set(sampler, steps=options.sampling_steps)


def _random_checkpoint() -> Path:
    """The checkpoint with random weights, kept beside the environment."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    from comfy.cli_args import args

    args.cpu = True
    print("The model: a Stable Diffusion 1.5 checkpoint with random weights", flush=True)
    return sd15_checkpoint.cached(environment.VENV)


class ProgressLines:
    """Shows a run on the terminal: one line a node, with its time and, while it works, its steps."""

    def __init__(self, workflow: Workflow):
        self._names = {str(n["id"]): n.get("title") or n["type"] for n in workflow.graph["nodes"]}
        self._name, self._start = None, 0.0

    def __call__(self, node: str, done: int, total: int):
        name = self._names[node.split(".")[0]]
        if name != self._name:
            self.end()
            self._name, self._start = name, time.monotonic()
        if total and sys.stdout.isatty():
            print(f"\r  - {name} {done}/{total} ", end="", flush=True)

    def end(self):
        """Finish the current node's line."""
        if self._name:
            print(f"\r  - {self._name}: {time.monotonic() - self._start:.1f} s", flush=True)


def _collect(server, workflow: Workflow, result, output: Path, inputs: tuple[Path, Path]):
    """Copy the pictures to the output folder, make the sheet of all of them, and say where they are."""
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name, title in RESULTS.items():
        (picture,) = server.pictures(result, workflow.id(title))
        written.append(Path(shutil.copy(picture, output / name)))
    sheet = output / "sheet.png"
    _sheet([*inputs, *written]).save(sheet)
    print("The pictures (each .png of the workflow carries the workflow; drop it on the ComfyUI page):")
    for path in (*written, sheet):
        print(f"  {path}")


def _sheet(paths: list[Path]) -> Image.Image:
    """The pictures in one row of captioned tiles."""
    sheet = Image.new("RGB", (TILE * len(paths), TILE + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    for column, path in enumerate(paths):
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((TILE, TILE))
        if picture.width < TILE and picture.height < TILE:
            picture = picture.resize((TILE, TILE * picture.height // picture.width), Image.Resampling.BICUBIC)
        sheet.paste(picture, (column * TILE, CAPTION))
        caption = path.stem.replace("_", " ")
        draw.text((column * TILE + 8, 6), caption, fill="black", font=ImageFont.load_default(20))
    return sheet
