"""Safetensors files that are either whole or not there, written with one tensor at a time in host memory."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterable
from pathlib import Path

import safetensors
import torch

from .part_file import part_file

DTYPE_NAMES = {torch.float32: "F32", torch.int64: "I64", torch.float16: "F16", torch.uint8: "U8"}


class DamagedFile(ValueError):
    """The file is truncated, or no safetensors file at all."""


def write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]):
    """Write ``path``, replacing what is there in one move once everything is on the disk."""
    with part_file(path.parent) as part:
        _write_to(part.file, tensors, metadata)
        part.replace(path)


def write_new(paths: Iterable[Path], tensors: dict[str, torch.Tensor], metadata: dict[str, str], folder: Path) -> Path:
    """Write a file under the first of ``paths``, all in ``folder``, that nothing has; returns that one."""
    with part_file(folder) as part:
        _write_to(part.file, tensors, metadata)
        return part.move_to_first_free(paths)


def _write_to(file, tensors: dict[str, torch.Tensor], metadata: dict[str, str]):
    widest_first = sorted(tensors, key=lambda name: -tensors[name].element_size())
    header: dict = {"__metadata__": metadata}
    end = 0
    for name in widest_first:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for name in widest_first:
        file.write(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file, without its tensors; raises DamagedFile."""
    with _opened(path) as file:
        return file.metadata() or {}


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors of a file, on the CPU, and its metadata; raises DamagedFile."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@contextlib.contextmanager
def _opened(path: Path):
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise DamagedFile(f"{path.name} is damaged or no safetensors file ({error}).") from None
