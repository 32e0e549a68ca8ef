"""A small network that reads a portrait back: who is in it, how it is drawn, and where its landmarks are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from styo.demo.portraits import Content, Style, features
from styo.demo.portraits.parameters import goes_round
from styo.demo.portraits.style import AMOUNTS
from styo.demo.shapes import RESOLUTION
from torch import nn

PATH = Path(__file__).with_name("reader.safetensors")
LANDMARKS = tuple(features(Content.from_vector(np.zeros(len(Content.FIELDS))), Style()))
GROUPS = {"content": len(Content.FIELDS), "style": len(Style.FIELDS), "landmarks": 2 * len(LANDMARKS)}
"""Numbers that are read, by group and in this order; landmarks as x and y in 0..1."""
CONTENT_AMOUNTS = ("curl", "beard", "moustache", "glasses", "freckles", "mouth_open")
"""Parameters of a person that do nothing below 0, where all their values count as 0, as a style's ``AMOUNTS`` do."""
IS_AMOUNT = np.isin([*Content.FIELDS, *Style.FIELDS, *LANDMARKS, *LANDMARKS], [*CONTENT_AMOUNTS, *AMOUNTS])
HUES = np.flatnonzero([goes_round(name) for name in Content.FIELDS + Style.FIELDS])
"""Where the parameters stand that go round: -1 is the same colour as 1."""
OUTPUTS = sum(GROUPS.values()) + len(HUES)
"""What the network says: all groups' numbers, a hue's cosine in its place, and then the hues' sines."""
LEAST_R2 = 0.5
"""A parameter is counted if so much of its variance is read."""


def truth(content: Content, style: Style) -> np.ndarray:
    """What there is to read in a portrait, float32 [all groups]."""
    points = np.array(list(features(content, style).values()), np.float32)
    return clipped(np.concatenate([content.vector, style.vector, points.ravel()]))


def clipped(numbers: np.ndarray) -> np.ndarray:
    """``numbers`` [..., all groups] with what does nothing below 0 at least 0."""
    return np.where(IS_AMOUNT, np.maximum(numbers, 0), numbers)


def group(numbers: np.ndarray, name: str) -> np.ndarray:
    """The part of ``numbers`` [..., all groups] that is one group's."""
    parts = np.split(numbers, np.cumsum([*GROUPS.values()])[:-1], axis=-1)
    return dict(zip(GROUPS, parts, strict=True))[name]


def apart(numbers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Absolute differences [..., all groups], of hues the shorter way round."""
    difference = np.abs(numbers - others)
    difference[..., HUES] = np.minimum(difference[..., HUES], 2 - difference[..., HUES])
    return difference


def to_outputs(numbers: np.ndarray) -> np.ndarray:
    """Numbers [..., all groups] as the network says them, [..., outputs]."""
    angles = np.pi * numbers[..., HUES]
    outputs = np.concatenate([numbers, np.sin(angles)], -1)
    outputs[..., HUES] = np.cos(angles)
    return outputs


def from_outputs(outputs: np.ndarray) -> np.ndarray:
    """The numbers [..., all groups] that the network says with ``outputs`` [..., outputs]."""
    numbers, sines = np.split(outputs, [sum(GROUPS.values())], -1)
    numbers = numbers.copy()
    numbers[..., HUES] = np.arctan2(sines, numbers[..., HUES]) / np.pi
    return clipped(numbers)


class Network(nn.Sequential):
    """Pictures [N, 3, 128, 128] in 0..1 to outputs [N, 101], each less its mean and over its spread."""

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 96)):
        half, quarter, eighth, sixteenth = widths
        super().__init__(
            nn.Conv2d(3, half, 5, 2, 2), nn.GELU(),
            nn.Conv2d(half, quarter, 3, 2, 1), nn.GELU(),
            nn.Conv2d(quarter, eighth, 3, 2, 1), nn.GELU(),
            nn.Conv2d(eighth, sixteenth, 3, 2, 1), nn.GELU(),
            nn.Conv2d(sixteenth, sixteenth, 3, 1, 1), nn.GELU(),
            nn.Conv2d(sixteenth, 24, 1), nn.Flatten(),
            nn.Linear(24 * (RESOLUTION // 16) ** 2, 128), nn.GELU(),
            nn.Linear(128, OUTPUTS),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reader:
    """A trained network and what its training portraits and its validation say about it.

    Attributes:
        mean, spread: of every output [outputs], which the network leaves out.
        unit: the spread of every number [all groups] among the portraits it was trained on.
        r2: how much of every number's variance [all groups] it reads.
    """

    network: Network
    mean: np.ndarray
    spread: np.ndarray
    unit: np.ndarray
    r2: np.ndarray
    VECTORS: ClassVar[tuple[str, ...]] = ("mean", "spread", "unit", "r2")

    def read(self, pictures: np.ndarray) -> np.ndarray:
        """The numbers [N, all groups] in ``pictures`` [N, 128, 128, 3] in 0..1."""
        x = torch.from_numpy(np.ascontiguousarray(pictures, np.float32)).movedim(-1, 1)
        with torch.inference_mode():
            standard = torch.cat([self.network(part) for part in x.split(64)]).numpy()
        return from_outputs(standard * self.spread + self.mean)

    @property
    def counted(self) -> np.ndarray:
        """Which numbers [all groups] are read well enough to be compared."""
        return self.r2 >= LEAST_R2

    def error(self, read: np.ndarray, true: np.ndarray, name: str) -> np.ndarray:
        """Mean absolute difference [N] of the counted parameters of a group, each in units of its spread."""
        difference = group(apart(read, true) / self.unit, name)
        return difference[..., group(self.counted, name)].mean(-1)

    def landmark_error(self, read: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Mean distance [N] of the landmarks in pixels."""
        difference = group(read, "landmarks") - group(true, "landmarks")
        points = difference.reshape(*difference.shape[:-1], len(LANDMARKS), 2)
        return RESOLUTION * np.linalg.norm(points, axis=-1).mean(-1)

    def save(self, path: Path, metadata: dict[str, str]):
        """Write it in half precision."""
        tensors = {name: w.detach().half().contiguous() for name, w in self.network.state_dict().items()}
        numbers = {name: torch.from_numpy(getattr(self, name)).float() for name in self.VECTORS}
        save_file({**tensors, **numbers}, path, metadata)


def load(path: Path = PATH) -> tuple[Reader, dict[str, str]]:
    """The reader of a file, and the file's metadata."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    numbers = {name: tensors.pop(name).numpy() for name in Reader.VECTORS}
    network = Network().eval()
    network.load_state_dict(tensors)
    return Reader(network, **numbers), metadata
