"""The demo itself, inside the environment: one run of a shipped workflow and its pictures on one sheet."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import comfy_server
import environment
from demo_jobs import Job
from PIL import Image, ImageDraw, ImageFont
from workflow import Workflow

TILE, CAPTION = 384, 36


def run(job: Job, output: Path):
    """Start ComfyUI, run the job's workflow, and write its pictures and numbers; exit with ComfyUI's error."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="styo-demo-") as folder:
        print(f"Starting ComfyUI from {os.environ['COMFYUI_PATH']} with this pack ...", flush=True)
        try:
            with comfy_server.serve(Path(folder), model_folders=job.model_folders) as server:
                workflow = Workflow.load(job.workflow, server.get("/object_info"))
                description = job.prepare(workflow, Path(folder, "input"))
                print(f"Running {job.workflow.relative_to(environment.ROOT)} on {description}")
                progress = ProgressLines(workflow)
                result = server.run(workflow.prompt(), workflow.graph, progress)
                progress.end()
                written = []
                for name, title in job.pictures.items():
                    for number, picture in enumerate(server.pictures(result, workflow.id(title)), 1):
                        written.append(shutil.copy(picture, output / numbered(name, number)))
        except (comfy_server.StartError, comfy_server.WorkflowError) as error:
            sys.exit(f"\n{error}")
    sheet = output / "sheet.png"
    _sheet([output / name for name in job.sheet]).save(sheet)
    print("The pictures (each .png of the workflow carries the workflow; drop it on the ComfyUI page):")
    for path in (*written, sheet):
        print(f"  {path}")
    for line in job.numbers(output):
        print(line)


def numbered(name: str, number: int) -> str:
    """The file of a node's first, second, ... picture."""
    path = Path(name)
    return name if number == 1 else f"{path.stem}_{number}{path.suffix}"


class ProgressLines:
    """Shows a run on the terminal: one line a node, with its time and, while it works, its steps."""

    def __init__(self, workflow: Workflow):
        self._names = workflow.titles()
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
