"""Time as medians of paired ratios, and memory as the peak of what is alive."""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
import weakref
from collections.abc import Callable, Sequence

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

RESAMPLES = 2000
CONFIDENCE = 0.95
MIN_TURNS = 3


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Seconds of two pieces of work and the median of their paired ratios, with its bootstrap interval."""

    ours: float
    peer: float
    median: float
    low: float
    high: float
    pairs: int


@dataclasses.dataclass(frozen=True)
class Meter:
    """Measures on one ``device``; ``cpu_time`` counts this process's own seconds instead of the wall clock's."""

    device: str
    cpu_time: bool = False

    def now(self) -> float:
        """The time in seconds, once everything queued on the device is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if self.cpu_time else time.perf_counter()

    def seconds(self, work: Callable[[], object]) -> float:
        start = self.now()
        work()
        return self.now() - start

    def paired(
        self, ours: Callable, peer: Callable, least: int, most: int, goal: float | None = None, budget: float = 600
    ) -> Ratio:
        """Time both in turns (peer, ours, ours, peer), each turn giving one ratio, after one run of each.

        At least ``least`` turns and at most ``most`` or ``budget`` seconds of them; in between until the median's
        interval is narrower than its distance to ``goal``.
        """
        ours()
        peer()
        turns: list[tuple[float, float]] = []
        begin = time.monotonic()
        while True:
            first, a, b, last = (self.seconds(work) for work in (peer, ours, ours, peer))
            turns.append(((a + b) / 2, (first + last) / 2))
            ratios = [a / b for a, b in turns]
            median, (low, high) = statistics.median(ratios), interval(ratios)
            decided = goal is not None and high - low < abs(goal - median)
            late = time.monotonic() - begin > budget and len(turns) >= min(least, MIN_TURNS)
            if (len(turns) >= least and decided) or len(turns) >= most or late:
                sides = (statistics.median(side) for side in zip(*turns, strict=True))
                return Ratio(*sides, median, low, high, len(turns))

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """The most memory that ``work`` holds above what was held before it.

        On CUDA as its allocator measures it; on the CPU the bytes of the tensors that live at once, counted.
        """
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            work()
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated() - before
        with LiveBytes() as live:
            work()
        return live.peak


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """The percentile bootstrap interval of the median of ``samples``."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(samples, k=len(samples))) for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    return medians[int(tail * RESAMPLES)], medians[int((1 - tail) * RESAMPLES) - 1]


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations make while this is active; ``peak`` is their most at once.

    What an operation needs only within itself is not seen.
    """

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage(), made=0)
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._note(storage, made=storage.nbytes())
        return result

    def _note(self, storage: torch.UntypedStorage, made: int):
        key = id(storage)
        if key not in self._seen:
            self._seen.add(key)
            weakref.finalize(storage, self._forget, key, made).atexit = False
            self.now += made
            self.peak = max(self.peak, self.now)

    def _forget(self, key: int, made: int):
        self._seen.discard(key)
        self.now -= made
