"""Where passes look for the content tokens, out of the maps that StyO Attention Capture keeps."""

from __future__ import annotations

import math

import numpy as np
import torch
from styo.bridge.capture import maps_of


def content_attention(source: dict, landmarks: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """(share, face) of a captured source pass, of a square picture with ``landmarks`` (x, y) in 0..1.

    ``share`` is what of all attention the content columns get, the mean over positions, heads, layers and steps.
    ``face`` is the attention per position inside the face over that outside of it: 1 where it makes no difference.
    """
    shares, ratios = [], []
    for columns in maps_of(source).tensors:
        mass = columns.float().sum(-1).mean((0, 1))
        inside = torch.from_numpy(face(landmarks, math.isqrt(len(mass))).ravel())
        shares.append(float(mass.mean()))
        ratios.append(float(mass[inside].mean() / mass[~inside].mean()))
    return float(np.mean(shares)), float(np.mean(ratios))


def columns_moved(source: dict, stylized: dict) -> float:
    """What of the source pass's content columns FCC changes in the stylization pass, both of them captured.

    The mean difference |M_sty[:, I] - M_src[:, I]| over the mean of M_src[:, I]: 0 where both passes look alike.
    """
    pairs = list(zip(maps_of(source).tensors, maps_of(stylized).tensors, strict=True))
    moved = sum(float((own - theirs).float().abs().mean()) for theirs, own in pairs)
    return moved / sum(float(theirs.float().mean()) for theirs, _ in pairs)


def face(landmarks: dict[str, tuple[float, float]], side: int) -> np.ndarray:
    """Which of [side, side] positions lie in the face: the ellipse from crown to chin, as wide as the temples."""
    names = ("crown", "chin", "left_temple", "right_temple")
    crown, chin, left, right = (np.array(landmarks[name]) for name in names)
    middle, along = (crown + chin) / 2, (chin - crown) / 2
    half_length, half_width = np.linalg.norm(along), np.linalg.norm(right - left) / 2
    along = along / half_length
    place = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(place - middle[0], place - middle[1])
    down, across = x * along[0] + y * along[1], x * along[1] - y * along[0]
    return (down / half_length) ** 2 + (across / half_width) ** 2 <= 1
