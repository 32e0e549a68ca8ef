"""What a piece of work holds on the GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch


def peak(device: str, work: Callable[[], object]) -> dict[str, float]:
    """Do ``work``; on CUDA, the most memory that its tensors held and that torch took for them, above what was held."""
    if device != "cuda":
        work()
        return {}
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    held, taken = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    work()
    most_held, most_taken = torch.cuda.max_memory_allocated() - held, torch.cuda.max_memory_reserved() - taken
    return {"peak GB": most_held / 1e9, "taken from the GPU, GB": most_taken / 1e9}
