"""Starts of ComfyUI under ``-X importtime``, and a stock graph under a profiler that looks for the pack's code."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from shared import launch, models, report
from shared.measure import Meter
from shared.tables import verdict
from styo.nodes.attention import StyOAttentionCapture
from styo.nodes.prompts import StyOEncodePrompts
from styo.training.prompts import Prompts

import nodes

GOAL_MS = 150
PACK = "styo"
LISTED = 5
SIDE = 64
FLAGS = ["--quick-test-for-ci", "--cpu", "--disable-all-custom-nodes", "--disable-api-nodes"]
FLAGS += ["--database-url", "sqlite:///:memory:"]


def measure_imports(options, device: str):
    """Both tables."""
    starts = [_imports() for _ in range(1 if options.quick else options.starts)]
    totals = [sum(start.values()) / 1000 for start in starts]
    median, spread = statistics.median(totals), f"{min(totals):.1f} .. {max(totals):.1f} ms"
    rows = [["what the pack adds to ComfyUI's start", "median", "smallest .. largest", "goal"]]
    goal = f"<= {GOAL_MS} ms: {verdict(median, GOAL_MS)}"
    rows.append([f"its imports, {len(starts)} starts", f"{median:.1f} ms", spread, goal])
    costly = sorted(starts[-1].items(), key=lambda item: -item[1])[:LISTED]
    modules = [["module", "milliseconds of its own"]]
    modules += [[f"`{name}`", f"{microseconds / 1000:.1f}"] for name, microseconds in costly]
    model, clip, vae = models.MINI.model(torch.float32), models.make_clip(models.MINI), models.make_vae(models.MINI)
    counts = [len(_functions_called(lambda own=own: _graph(model, clip, vae, own))) for own in (False, True)]
    if counts[0] or not counts[1]:
        raise AssertionError(f"Of the pack's functions {counts[0]} ran without its nodes, {counts[1]} with one.")
    graph = [["encode, sample, decode", "the pack's functions that ran"]]
    names = ("without the pack's nodes", "with StyO Attention Capture")
    graph += [[name, str(count)] for name, count in zip(names, counts, strict=True)]
    result = {
        "command": "import_time.py",
        "environment": report.environment(Meter(device), "fp32"),
        "milliseconds": [round(total, 2) for total in totals],
        "tables": {"Start": rows, "Where it goes (last start)": modules, "Graph": graph},
    }
    report.publish(result, f"import_time-{device}", options.output)


def _imports() -> dict[str, int]:
    """The pack's imports in one start of ComfyUI, as `imports_of` has them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "custom_nodes" / PACK
        place.parent.mkdir()
        place.symlink_to(launch.ROOT, target_is_directory=True)
        command = [sys.executable, "-X", "importtime", Path(os.environ["COMFYUI_PATH"]) / "main.py", *FLAGS]
        command += ["--whitelist-custom-nodes", PACK, "--base-directory", folder]
        log = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stderr
    if "IMPORT FAILED" in log or "Cannot import" in log:
        raise RuntimeError("ComfyUI could not import the pack.")
    return imports_of(str(place).replace(".", "_x_"), log)


def imports_of(package: str, log: str) -> dict[str, int]:
    """Own microseconds of every module that ``package`` is the first to import, its own modules and others.

    In ``log``, written by ``-X importtime``, a line follows those of what it imported, which are indented further.
    """
    found: dict[str, int] = {}
    inside: int | None = None
    for line in reversed(log.splitlines()):
        own, _, name = [*line.removeprefix("import time:").split("|"), "", ""][:3]
        if not line.startswith("import time:") or not own.strip().isdigit():
            continue
        depth = len(name) - len(name.lstrip())
        if inside is None or depth <= inside:
            inside = depth if name.strip().startswith(package + ".") else None
        if inside is not None:
            found[name.strip().replace(package, PACK)] = int(own)
    return found


def _functions_called(work) -> set[str]:
    """The pack's functions that ``work`` calls, the pack being loaded."""
    called: set[str] = set()
    folders = tuple(f"{launch.ROOT / name}{os.sep}" for name in ("bridge", "nodes", "styo_attention", "training"))

    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(folders):
            called.add(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")

    sys.setprofile(profile)
    try:
        with torch.inference_mode():
            work()
    finally:
        sys.setprofile(None)
    return called


def _graph(model, clip, vae, own: bool):
    """Encode, sample and decode, with the pack's ``own`` nodes or with ComfyUI's alone."""
    (latent,) = nodes.EmptyLatentImage().generate(SIDE, SIDE)
    if own:
        positive = StyOEncodePrompts.execute(clip, Prompts()).args[0]
        model, latent = StyOAttentionCapture.execute(model, latent).args
    else:
        (positive,) = nodes.CLIPTextEncode().encode(clip, "a portrait")
    (negative,) = nodes.CLIPTextEncode().encode(clip, "")
    (latent,) = nodes.KSampler().sample(model, 0, 1, 7.5, "euler", "normal", positive, negative, latent)
    nodes.VAEDecode().decode(vae, latent)
