"""Named parameters that are also a vector: the common form of identities, poses and styles."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Floats in [-1, 1]; a subclass lists them as fields, in the order of its vector."""

    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.FIELDS = tuple(cls.__annotations__)

    @property
    def vector(self) -> np.ndarray:
        """float32 [len(FIELDS)]."""
        return np.array([getattr(self, name) for name in self.FIELDS], np.float32)

    @classmethod
    def from_vector(cls, vector: np.ndarray):
        """The parameters of ``vector`` [len(FIELDS)], clipped to [-1, 1]."""
        vector = np.clip(np.asarray(vector, np.float32), -1, 1)
        return cls(**dict(zip(cls.FIELDS, vector.tolist(), strict=True)))


def goes_round(name: str) -> bool:
    """Whether a parameter is a hue, of which -1 and 1 are the same."""
    return name.endswith("_hue")


def amount(value: float, none: float = 0.0, full: float = 1.0) -> float:
    """0 up to ``none``, 1 from ``full`` on, linear between them."""
    return min(max((value - none) / (full - none), 0.0), 1.0)


def between(low: float, high: float, value: float) -> float:
    """``value`` in [-1, 1] stretched to [low, high]."""
    return low + (high - low) * (value + 1) / 2
