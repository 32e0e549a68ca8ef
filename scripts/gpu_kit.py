"""Gather what a bare GPU machine lacks to run `benchmarks/gpu.py`: ComfyUI's tree and the packages it needs.

    python scripts/gpu_kit.py [--python 3.12]

Everything goes to the folder gpu_kit, at most 60 MB, which git ignores. Take the pack's folder with it to the machine,
whose Python has torch, torchvision, torchaudio, numpy, scipy, pillow and safetensors, and run there:

    python benchmarks/gpu.py --here --minutes 9
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import environment

KIT = environment.ROOT / "gpu_kit"
MOST_BYTES = 60e6
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)), "manylinux2014_x86_64")

PACKAGES = (
    *("einops", "psutil", "tqdm", "pyyaml", "transformers<5", "tokenizers<0.23", "huggingface-hub<1", "regex"),
    *("fsspec", "filelock", "packaging", "requests", "charset-normalizer", "idna", "urllib3", "certifi"),
    *("typing-extensions", "importlib-metadata", "zipp"),
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "multidict", "propcache", "yarl"),
    *("torchsde", "trampoline", "alembic", "sqlalchemy", "mako", "markupsafe", "pydantic", "pydantic-core"),
    *("annotated-types", "typing-inspection", "blake3", "comfy-aimdo", "comfy-kitchen", "diffusers<0.36"),
)
"""What ComfyUI imports, and diffusers for the peers; nothing that only the GPU's maker can build."""

NOT_NEEDED = (
    "tests",
    "tests-unit",
    "blueprints",
    "comfy_api_nodes",
    "script_examples",
    "input",
    "output",
    "models",
    ".git",
)
TOKENIZERS = "comfy/text_encoders"
"""Holds tokenizers of models that StyO does not know."""
LARGEST_FILE = 400_000
LARGEST_BINARY = 4_000_000
"""comfy-kitchen's kernels are larger; without them it computes in torch."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--python", default=here, help=f"the version of that machine's Python (default: {here})")
    options = parser.parse_args()
    environment.enter()
    if KIT.exists():
        shutil.rmtree(KIT)
    gather_comfyui(Path(os.environ["COMFYUI_PATH"]), KIT / "ComfyUI")
    gather_wheels(options.python, KIT / "wheels", pinned_by(KIT / "ComfyUI"))
    size = sum(path.stat().st_size for path in KIT.rglob("*") if path.is_file())
    print(f"{KIT}: {size / 1e6:.1f} MB")
    if size > MOST_BYTES:
        sys.exit(f"That is more than {MOST_BYTES / 1e6:.0f} MB.")


def gather_comfyui(tree: Path, destination: Path):
    """Copy the tree without tests, models, and the large files of tokenizers that StyO does not use."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(tree)
        large = {n for n in names if (p := Path(folder, n)).is_file() and p.stat().st_size > LARGEST_FILE}
        unneeded = {n for n in names if n == "__pycache__" or (inside == Path() and n in NOT_NEEDED)}
        return unneeded | (large if inside.as_posix().startswith(TOKENIZERS) else set())

    shutil.copytree(tree, destination, ignore=ignored)
    for name in ("models", "input", "output"):
        (destination / name).mkdir(exist_ok=True)


def pinned_by(tree: Path) -> dict[str, str]:
    """What ComfyUI requires in one version only, by name."""
    lines = (tree / "requirements.txt").read_text("utf-8").split()
    return {line.partition("==")[0]: line for line in lines if "==" in line}


def gather_wheels(python: str, destination: Path, pinned: dict[str, str]):
    """Download wheels for Linux on x86-64 and that version of Python, and take large binaries out of them."""
    destination.mkdir(parents=True)
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        destination,
    ]
    command += ["--python-version", python, "--implementation", "cp", *platforms]
    command += [pinned.get(name, name) for name in PACKAGES]
    subprocess.run([str(part) for part in command], check=True)
    for wheel in destination.glob("*.whl"):
        if any(is_left_out(entry) for entry in zipfile.ZipFile(wheel).infolist()):
            _without_large_binaries(wheel)


def is_left_out(entry: zipfile.ZipInfo) -> bool:
    """Whether a file in a wheel is a library too large to take along."""
    return entry.filename.endswith(".so") and entry.file_size > LARGEST_BINARY and "kitchen" in entry.filename


def _without_large_binaries(wheel: Path):
    smaller = wheel.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if not is_left_out(entry):
                new.writestr(entry, old.read(entry))
    os.replace(smaller, wheel)


if __name__ == "__main__":
    main()
