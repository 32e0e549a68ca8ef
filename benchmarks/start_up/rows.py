"""Starts of ComfyUI under ``-X importtime``, and a stock graph under a profiler that looks for the pack's code."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from shared import launch, report, sd15
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
    without, with_pack = _functions_called(_stock_graph), _functions_called(_graph_with_capture)
    if without or not with_pack:
        raise AssertionError(f"A graph without the pack's nodes ran {without}, one with them {with_pack}.")
    graph = [["encode, sample, decode", "the pack's functions that ran"]]
    graph += [["without the pack's nodes", str(len(without))], ["with StyO Attention Capture", str(len(with_pack))]]
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
        command += [
            "--whitelist-custom-nodes",
            PACK,
            "--base-directory",
            folder,
            "--database-url",
            "sqlite:///:memory:",
        ]
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


def _functions_called(graph) -> set[str]:
    """The pack's functions that ``graph`` calls, the pack being loaded."""
    model = sd15.make_model(sd15.MINI, torch.float32)
    clip, vae = sd15.make_clip(sd15.MINI), sd15.make_vae(sd15.MINI)
    called: set[str] = set()
    folders = tuple(f"{launch.ROOT / name}{os.sep}" for name in ("bridge", "nodes", "styo_attention", "training"))

    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(folders):
            called.add(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")

    sys.setprofile(profile)
    try:
        with torch.inference_mode():
            graph(model, clip, vae)
    finally:
        sys.setprofile(None)
    return called


def _stock_graph(model, clip, vae):
    (positive,) = nodes.CLIPTextEncode().encode(clip, "a portrait")
    (latent,) = nodes.EmptyLatentImage().generate(SIDE, SIDE)
    _finish(model, clip, vae, positive, latent)


def _graph_with_capture(model, clip, vae):
    positive = StyOEncodePrompts.execute(clip, Prompts()).args[0]
    (latent,) = nodes.EmptyLatentImage().generate(SIDE, SIDE)
    model, latent = StyOAttentionCapture.execute(model, latent).args
    _finish(model, clip, vae, positive, latent)


def _finish(model, clip, vae, positive, latent):
    (negative,) = nodes.CLIPTextEncode().encode(clip, "")
    (latent,) = nodes.KSampler().sample(model, 0, 1, 7.5, "euler", "normal", positive, negative, latent)
    nodes.VAEDecode().decode(vae, latent)
