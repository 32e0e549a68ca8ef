"""A benchmark's result: where it ran, and the JSON it is written to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from .measure import Meter
from .tables import tables

LINE = 300
"""Characters that a line of a result holds, if one row does not need more."""
PACKAGES = ("torch", "diffusers", "accelerate")


def environment(meter: Meter, dtype: str, packages: tuple[str, ...] = PACKAGES) -> dict:
    """Where and how a benchmark ran: device, clock, precision and versions, also those of ``packages``."""
    import comfyui_version

    place = {
        "device": meter.device,
        "name": torch.cuda.get_device_name() if meter.device == "cuda" else platform.processor() or platform.machine(),
        "dtype": dtype,
        "clock": "process" if meter.cpu_time else "wall",
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "comfyui": comfyui_version.__version__,
        **{name: _version(name) for name in packages},
    }
    if meter.device == "cuda":
        place |= {"cuda": torch.version.cuda, "driver": _driver()}
    return place


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def compact(value, indent: str = "") -> str:
    """JSON with a line for each list or object that holds no other, so for each row of a table."""
    inner = list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    if not any(isinstance(part, dict | list) for part in inner) or len(json.dumps(value)) <= LINE:
        return json.dumps(value)
    deeper = indent + " "
    names = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(inner)
    lines = [f"{deeper}{name}{compact(part, deeper)}" for name, part in zip(names, inner, strict=True)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(lines), indent + closing])


def publish(result: dict, name: str, folder: Path):
    """Print a result's tables and write it to ``name``.json in ``folder``."""
    print("\n" + tables(result))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(compact(result) + "\n", "utf-8")
    print(f"Written to {path}")
