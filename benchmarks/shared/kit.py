"""A folder of what a bare machine lacks: ComfyUI's tree and wheels, made by scripts/gpu_kit.py."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import sys
import types
import zipfile
from importlib import metadata
from pathlib import Path

FOLDER = "gpu_kit"
COMFYUI, WHEELS = "ComfyUI", "wheels"
UNPACKED = "STYO_KIT"
"""The variable that tells a started process where the kit's packages are."""

NEEDED = (
    *("torch", "torchvision", "torchaudio", "numpy", "scipy", "PIL", "safetensors", "einops", "psutil", "tqdm", "yaml"),
    *("aiohttp", "transformers", "tokenizers", "torchsde", "trampoline", "alembic", "sqlalchemy", "mako", "pydantic"),
    *("pydantic_core", "blake3", "comfy_aimdo", "comfy_kitchen", "diffusers"),
)
VIDEO = {
    "av": (),
    "av.container": ("InputContainer",),
    "av.subtitles": (),
    "av.subtitles.stream": ("SubtitleStream",),
    "av.video": (),
    "av.video.reformatter": ("ColorRange",),
}
"""What ComfyUI imports of PyAV, which only its video nodes use; the package is larger than everything else."""


def unpack(kit: Path, folder: Path):
    """Put those wheels of ``kit`` that this Python lacks or has older into ``folder``; tell all of it and ComfyUI."""
    for wheel in sorted((kit / WHEELS).glob("*.whl")):
        if fits(wheel.name) and is_newer(wheel.name):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    if (kit / COMFYUI).is_dir():
        os.environ.setdefault("COMFYUI_PATH", str((kit / COMFYUI).absolute()))
    os.environ[UNPACKED] = str(folder)


def is_newer(wheel: str) -> bool:
    """Whether a wheel's package is not installed here, or only in an older version."""
    name, version = wheel.split("-")[:2]
    try:
        return _numbers(metadata.version(name)) < _numbers(version)
    except metadata.PackageNotFoundError:
        return True


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def fits(wheel: str) -> bool:
    """Whether a wheel's name says that this version of Python can load it."""
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    here = f"cp3{sys.version_info[1]}"
    if platform == "any":
        return "py3" in python
    return here in python or (abi == "abi3" and int(python.removeprefix("cp3")) <= sys.version_info[1])


def missing(folder: Path) -> list[str]:
    """What can be imported neither from this Python nor from ``folder``."""
    return [name for name in NEEDED if not (importlib.util.find_spec(name) or (folder / name).exists())]


def load_dynamic_vram():
    """Load comfy-aimdo as ComfyUI's main.py does, which must be before torch is imported."""
    if importlib.util.find_spec("comfy_aimdo"):
        import comfy_aimdo.control

        comfy_aimdo.control.init()


def stand_in_for_video():
    """Let ComfyUI import the names it wants of PyAV where that is not installed."""
    if importlib.util.find_spec("av") is None:
        for module, names in VIDEO.items():
            sys.modules[module] = types.ModuleType(module)
            sys.modules[module].__spec__ = importlib.machinery.ModuleSpec(module, None)
            sys.modules[module].__dict__.update({name: type(name, (), {}) for name in names})
