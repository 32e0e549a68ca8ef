"""Who is in the picture, and how they hold their head."""

from __future__ import annotations

import dataclasses

import numpy as np

from .parameters import Parameters


@dataclasses.dataclass(frozen=True)
class Identity(Parameters):
    """What makes a person recognisable; amounts such as ``beard`` are none below 0."""

    face_width: float = 0.0
    jaw: float = 0.0
    chin: float = 0.0
    cheeks: float = 0.0
    skin_tone: float = 0.3
    skin_warmth: float = 0.0
    hair_length: float = 0.0
    hair_volume: float = 0.0
    fringe: float = 0.0
    parting: float = 0.3
    curl: float = -1.0
    hairline: float = 0.0
    hair_tone: float = -0.3
    hair_warmth: float = 0.0
    eye_size: float = 0.0
    eye_spacing: float = 0.0
    eye_height: float = 0.0
    eye_tilt: float = 0.0
    iris: float = 0.5
    brow_thickness: float = 0.0
    brow_angle: float = 0.0
    brow_height: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    mouth_width: float = 0.0
    lip_fullness: float = 0.0
    mouth_height: float = 0.0
    beard: float = -1.0
    moustache: float = -1.0
    glasses: float = -1.0
    glasses_round: float = 0.0
    shirt_hue: float = 0.4
    collar: float = 0.0
    background_hue: float = 0.3
    ears: float = 0.0
    freckles: float = -1.0
    blush: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Identity:
        """A pleasant person; features that go together in life mostly go together here."""
        p = dict(zip(cls.FIELDS, rng.uniform(-1, 1, len(cls.FIELDS)), strict=True))
        p["skin_tone"] = 1 - 2 * rng.random() ** 1.4
        bearded = rng.random() < 0.3
        p["hair_length"] = rng.uniform(0.1, 1) if rng.random() < (0.1 if bearded else 0.6) else rng.uniform(-1, -0.3)
        p["hair_tone"] = np.clip(p["hair_tone"] * 0.8 + 0.5 * min(p["skin_tone"], 0) - 0.1, -1, 1)
        p["hair_warmth"] = np.clip(rng.normal(0.1, 0.45), -1, 1) if p["skin_tone"] > -0.2 else rng.uniform(-0.5, 0.2)
        p["curl"] = rng.uniform(0.2, 1) if rng.random() < 0.4 else -0.5
        p["iris"] = p["iris"] if p["skin_tone"] > -0.1 else rng.uniform(-1, -0.2)
        p["brow_angle"] = rng.normal(0.1, 0.4)
        p["beard"] = rng.uniform(0.3, 1) if bearded else -0.5
        p["moustache"] = rng.uniform(0.4, 1) if (bearded and rng.random() < 0.8) or rng.random() < 0.05 else -0.5
        p["glasses"] = rng.uniform(0.4, 1) if rng.random() < 0.25 else -0.5
        p["freckles"] = rng.uniform(0.4, 1) if rng.random() < 0.2 else -0.5
        return cls.from_vector([p[name] for name in cls.FIELDS])


@dataclasses.dataclass(frozen=True)
class Pose(Parameters):
    """How the head is held; positive is the picture's right and down, an open mouth and a smile."""

    yaw: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    zoom: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    mouth_open: float = -1.0
    smile: float = 0.3

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Pose:
        """A relaxed pose, mostly facing the viewer and mostly smiling."""
        p = dict(zip(cls.FIELDS, rng.normal(0, 0.45, len(cls.FIELDS)), strict=True))
        p["mouth_open"] = rng.uniform(0.1, 1) if rng.random() < 0.35 else -0.5
        p["smile"] = rng.normal(0.45, 0.4)
        return cls.from_vector([p[name] for name in cls.FIELDS])


@dataclasses.dataclass(frozen=True)
class Content:
    """A person in a pose; its vector is the identity's followed by the pose's."""

    identity: Identity
    pose: Pose

    FIELDS = Identity.FIELDS + Pose.FIELDS

    @property
    def vector(self) -> np.ndarray:
        """float32 [len(FIELDS)]."""
        return np.concatenate([self.identity.vector, self.pose.vector])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> Content:
        """The content of ``vector`` [len(FIELDS)], clipped to [-1, 1]."""
        count = len(Identity.FIELDS)
        return cls(Identity.from_vector(vector[:count]), Pose.from_vector(vector[count:]))

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Content:
        """Anybody in any pose."""
        return cls(Identity.sample(rng), Pose.sample(rng))
