"""The pictures that the demo model is trained on: rendered afresh by other processes, and forgotten once used."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import multiprocessing
from collections.abc import Callable, Iterator

import numpy as np
import torch

from ..held_out import pretraining_portrait
from ..portraits.render import render
from ..shapes import RESOLUTION
from ..words import CONTENT
from . import parallel
from .layout import masks

CHUNK = 32
AHEAD = 2
"""Chunks that each worker renders ahead."""


@dataclasses.dataclass(frozen=True)
class Portraits:
    """``pictures`` uint8 [N, 3, 128, 128], their ``codes`` [N, parameters], and ``masks`` [N, parts, h, w] in 0..1."""

    pictures: torch.Tensor
    codes: torch.Tensor
    masks: torch.Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, picks) -> Portraits:
        return Portraits(self.pictures[picks], self.codes[picks], self.masks[picks])

    def __add__(self, other: Portraits) -> Portraits:
        pairs = ((getattr(part, field.name) for part in (self, other)) for field in dataclasses.fields(self))
        return Portraits(*(torch.cat(list(pair)) for pair in pairs))


def drawn_codes(count: int, seed: int) -> torch.Tensor:
    """Codes [count, parameters] of portraits that training may see."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([_code(*pretraining_portrait(rng)) for _ in range(count)]))


def _code(content, style) -> np.ndarray:
    return np.concatenate([style.vector, content.vector])


def render_chunk(seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of CHUNK ``Portraits``."""
    rng = np.random.default_rng(seed)
    pictures = np.empty((CHUNK, RESOLUTION, RESOLUTION, 3), np.uint8)
    codes = np.empty((CHUNK, CONTENT.stop), np.float32)
    for i in range(CHUNK):
        portrait = pretraining_portrait(rng)
        pictures[i] = np.round(255 * render(*portrait))
        codes[i] = _code(*portrait)
    return pictures.transpose(0, 3, 1, 2), codes, masks(codes)


class Stream:
    """Portraits without end, the same for a ``seed``; closed, it ends its processes, which begin with ``prepare``."""

    def __init__(self, seed: int, workers: int, prepare: Callable[[], None] | None = None):
        self._seed, self._ahead = seed, AHEAD * workers
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(workers, context, prepare)
        self._chunks, self._left, self._position = None, None, 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_):
        self._pool.shutdown(wait=False, cancel_futures=True)

    def at(self, first: int, count: int) -> Portraits:
        """``count`` portraits from number ``first`` on; it is cheap to go on where the last call ended."""
        if self._chunks is None or first != self._position:
            number, skipped = divmod(first, CHUNK)
            self._chunks = self._rendered(number)
            self._left = next(self._chunks)[skipped:]
        while len(self._left) < count:
            self._left = self._left + next(self._chunks)
        found, self._left = self._left[:count], self._left[count:]
        self._position = first + count
        return found

    def _rendered(self, first: int) -> Iterator[Portraits]:
        waiting = collections.deque()
        for number in itertools.count(first):
            waiting.append(self._pool.submit(render_chunk, (self._seed, parallel.rank(), number)))
            if len(waiting) == self._ahead:
                yield Portraits(*map(torch.from_numpy, waiting.popleft().result()))
