"""Runs the parts, each in a process of its own with its own deadline: a crash or a hang ends that part and no other."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import records
from .programme import Part, allotted

GRACE = 5.0
"""Seconds that a part may overrun, to write down what it found."""


def run(parts: Sequence[Part], seconds: float, folder: Path, command: Sequence[str]) -> bool:
    """Run ``command`` with `--part NAME --seconds S` for each part; returns whether nothing failed or was lost."""
    end = time.monotonic() + seconds
    for path in (folder / f"{part.name}.json" for part in parts):
        path.unlink(missing_ok=True)
    for i, part in enumerate(parts):
        limit = allotted(parts[i:], end - time.monotonic())
        print(f"{part.name}, {limit:.0f} s at most: {part.question}", flush=True)
        if limit <= 0:
            records.lost(folder, part.name, "no time was left for it")
        elif note := _process([*command, "--part", part.name, "--seconds", f"{limit:.1f}"], limit + GRACE):
            records.lost(folder, part.name, note)
        text = records.table(folder, [p.name for p in parts])
    print(f"\n{text}\nWritten to {folder}", flush=True)
    return records.FAILED not in text and records.LOST not in text


def _process(command: Sequence[str], limit: float) -> str:
    """Run a command and all it starts for at most ``limit`` seconds; returns why it did not end by itself, or ""."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(limit)
        return "" if code == 0 else f"its process ended with code {code}"
    except subprocess.TimeoutExpired:
        return f"it was stopped after {limit:.0f} seconds"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_part(part: str, seconds: float, folder: Path, device: str, toy: bool):
    """Carry out a part's checks in this process; ComfyUI and the pack are importable already."""
    from shared import report
    from shared.measure import Meter

    place = records.Place(device, toy, time.monotonic() + seconds)
    packages = ("torch", "diffusers", "comfy-aimdo")
    environment = report.environment(Meter(device), "as in the rows", packages) | {"toy": toy}
    record = records.Record(folder, part, environment)
    try:
        module = importlib.import_module(f"on_gpu.{part}")
        records.carry_out(module.checks(place), record, place)
    except Exception as error:  # The parts after this one still run, and the record says what became of it.
        record.add("getting ready", records.FAILED, 0, note=records.said(error))
    sys.stdout.flush()
