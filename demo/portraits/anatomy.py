"""Where everything of a portrait is: the measures of a head, and the way from its own coordinates to the picture's.

A head's coordinates are about those of a picture it fills: x right and y down, 0 between the eyes.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .content import Identity, Pose
from .parameters import amount
from .style import Style

CHEEK_LINE = 0.14
MOST_ROLL, MOST_YAW = 0.24, 0.36
NECK_Y = 0.6
NOSE_LIFT = 0.10
SECTORS = 8


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """Measures of one head, in its coordinates."""

    half_width: float
    crown: float
    chin: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    brow_y: float
    nose_y: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    ear_y: float


def measure(who: Identity, style: Style) -> Anatomy:
    """The head of ``who`` with the eyes of ``style``."""
    eyes = (1 + 0.13 * who.eye_size) * (1 + 0.36 * style.eye_scale)
    eye_y = 0.03 + 0.035 * who.eye_height
    nose_y = 0.225 + 0.05 * who.nose_length
    eye_height = 0.082 * eyes * (1 + 0.10 * who.eye_size)
    return Anatomy(
        half_width=0.49 + 0.058 * who.face_width,
        crown=-0.60,
        chin=0.62 + 0.07 * who.chin,
        eye_x=0.212 + 0.028 * who.eye_spacing + 0.02 * style.eye_scale,
        eye_y=eye_y,
        eye_width=0.128 * eyes,
        eye_height=eye_height,
        brow_y=eye_y - eye_height - 0.085 - 0.035 * who.brow_height,
        nose_y=nose_y,
        nose_width=0.075 + 0.028 * who.nose_width,
        mouth_y=nose_y + 0.175 + 0.025 * who.mouth_height,
        mouth_width=0.165 + 0.045 * who.mouth_width,
        ear_y=0.09,
    )


class Placement:
    """The ways between head and picture coordinates, by the pose and by the proportions of the style.

    A style stretches the head, the part below CHEEK_LINE most, and makes its circles polygons; then the pose turns it
    around the neck.
    """

    def __init__(self, pose: Pose, style: Style, head: Anatomy):
        self.zoom = 1.10 + 0.09 * pose.zoom
        self.shift = (0.09 * pose.x, 0.06 * pose.y + 0.04)
        roll = MOST_ROLL * pose.roll
        self.cos, self.sin = math.cos(roll), math.sin(roll)
        self.yaw = MOST_YAW * pose.yaw
        self.radius = 1.14 * head.half_width
        self.scale = (1 + 0.20 * style.head_width, 1 + 0.13 * style.head_height)
        self.stretch = 1 + 0.26 * style.chin_scale
        self.taper = 0.34 * style.chin_scale
        self.angularity = amount(style.angularity)

    def to_head(self, x, y):
        """Picture to head coordinates, of arrays."""
        x, y = (x - self.shift[0]) / self.zoom, (y - self.shift[1]) / self.zoom - NECK_Y
        x, y = self.cos * x + self.sin * y, self.cos * y - self.sin * x + NECK_Y
        if self.angularity:
            facet = self._facet(x, y)
            x, y = x * facet, y * facet
        x, y = x / self.scale[0], y / self.scale[1]
        low = np.maximum(y - CHEEK_LINE, 0) / self.stretch
        return x / (1 + self.taper * low), np.minimum(y, CHEEK_LINE) + low

    def to_body(self, x, y):
        """Picture to upright body coordinates: the shoulders follow the head half of the way."""
        down = self.shift[1] + 0.1 * (self.stretch - 1)
        return (x - 0.5 * self.shift[0]) / self.zoom, (y - down) / self.zoom + 0.07

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Head to picture coordinates."""
        low = max(y - CHEEK_LINE, 0)
        x, y = x * (1 + self.taper * low), y + low * (self.stretch - 1)
        x, y = x * self.scale[0], y * self.scale[1]
        if self.angularity:
            facet = float(self._facet(x, y))
            x, y = x / facet, y / facet
        y -= NECK_Y
        x, y = self.cos * x - self.sin * y, self.cos * y + self.sin * x + NECK_Y
        return x * self.zoom + self.shift[0], y * self.zoom + self.shift[1]

    def _facet(self, x, y):
        """What the distance from the centre is multiplied with to make circles polygons of SECTORS sides."""
        sector = 2 * math.pi / SECTORS
        angle = np.arctan2(y, x)
        angle -= sector * np.round(angle / sector)
        return 1 + self.angularity * (np.cos(angle) * 1.06 - 1)

    def to_face(self, x):
        """Head x to face x: undoes the turn, as if the face lay on a cylinder of ``radius``."""
        depth = np.sqrt(np.maximum(self.radius**2 - x * x, 0))
        return x * math.cos(self.yaw) - depth * math.sin(self.yaw)

    def from_face(self, x: float, lift: float = 0.0) -> float:
        """Face x to head x, of a point ``lift`` in front of the face."""
        depth = math.sqrt(max(self.radius**2 - x * x, 0)) + lift
        return x * math.cos(self.yaw) + depth * math.sin(self.yaw)

    def face_to_picture(self, x: float, y: float, lift: float = 0.0) -> tuple[float, float]:
        """Face to picture coordinates."""
        return self.to_picture(self.from_face(x, lift), y)
