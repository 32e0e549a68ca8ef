"""Where the columns of a source pass are kept: on the GPU while there is plenty of room, else in main memory."""

from __future__ import annotations

import torch
from comfy import model_management

CHUNK = 64 * 2**20
"""Bytes of pinned memory taken at once: torch rounds each request up to a power of two."""
ALIGNMENT = 256

GPU_SHARE = 1 / 4
"""Part of the GPU's free memory that maps may take."""


class Keeper:
    """Keeps the columns of one pass, evaluation by evaluation, without waiting for the GPU."""

    def __init__(self):
        self._on_gpu = 0
        self._last = 0
        self._offload = False
        self._chunk: torch.Tensor | None = None
        self._used = 0
        self._devices: set[torch.device] = set()

    def begin_evaluation(self) -> None:
        """Decide for the columns to come, as many as in the evaluation before."""
        for device in self._devices:
            free = model_management.get_free_memory(device)
            self._offload |= self._on_gpu + self._last > GPU_SHARE * (free + self._on_gpu)
        self._last = 0

    def keep(self, columns: torch.Tensor) -> torch.Tensor:
        """``columns`` [B, heads, N, I], where they may stay."""
        if columns.device.type == "cpu":
            return columns
        self._devices.add(columns.device)
        self._last += columns.nbytes
        if not self._offload:
            self._on_gpu += columns.nbytes
            return columns
        if columns.device.type != "cuda" or model_management.MAX_PINNED_MEMORY <= 0:
            return columns.cpu()
        transposed = columns.mT
        kept = self._reserve(transposed.nbytes).view(transposed.dtype).view(transposed.shape)
        return kept.copy_(transposed, non_blocking=True).mT

    def finish(self) -> None:
        """Wait until everything kept is there."""
        for device in self._devices:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        self._chunk = None

    def _reserve(self, nbytes: int) -> torch.Tensor:
        start = -(-self._used // ALIGNMENT) * ALIGNMENT
        if self._chunk is None or start + nbytes > len(self._chunk):
            self._chunk, start = torch.empty(max(CHUNK, nbytes), dtype=torch.uint8, pin_memory=True), 0
        self._used = start + nbytes
        return self._chunk[start : start + nbytes]
