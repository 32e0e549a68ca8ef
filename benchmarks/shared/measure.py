"""Time as medians of paired ratios, and memory as the peak of what is alive."""

from __future__ import annotations

import dataclasses
import statistics
import time
import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .intervals import median_interval

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
            median, (low, high) = statistics.median(ratios), median_interval(ratios)
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


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations make while this is active; ``peak`` is their most at once.

    What an operation needs only within itself is not seen.
    """

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self._note((args, kwargs), made=False)
        result = function(*args, **(kwargs or {}))
        self._note(result, made=True)
        return result

    def _note(self, values, made: bool):
        for storage in (x.untyped_storage() for x in tree_leaves(values) if isinstance(x, torch.Tensor)):
            if id(storage) not in self._seen:
                self._seen.add(id(storage))
                size = storage.nbytes() if made else 0
                weakref.finalize(storage, self._forget, id(storage), size).atexit = False
                self.now += size
                self.peak = max(self.peak, self.now)

    def _forget(self, key: int, size: int):
        self._seen.discard(key)
        self.now -= size
