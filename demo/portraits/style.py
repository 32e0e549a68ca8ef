"""How a portrait is drawn: amounts of techniques, and the named styles that combine them."""

from __future__ import annotations

import dataclasses

import numpy as np

from .parameters import Parameters

ANY = (-1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Style(Parameters):
    """Amounts of techniques (none up to 0) and their settings; the defaults are a photo's."""

    light_x: float = -0.4
    light_y: float = -0.4
    flatness: float = -0.5
    tones: float = 0.0
    saturation: float = 0.0
    contrast: float = 0.0
    outline: float = -0.5
    wobble: float = -0.5
    ink_light: float = -1.0
    ink_hue: float = 0.3
    hatching: float = -0.5
    halftone: float = -0.5
    mosaic: float = -0.5
    texture_size: float = 0.0
    texture_angle: float = 0.0
    duotone: float = -0.5
    shadow_hue: float = 0.3
    light_hue: float = -0.7
    paper: float = 0.5
    neon: float = -0.5
    watercolour: float = -0.5
    eye_scale: float = 0.0
    head_width: float = 0.0
    head_height: float = 0.0
    chin_scale: float = 0.0
    angularity: float = -0.5

    @classmethod
    def sample(cls, rng: np.random.Generator, family: str) -> Style:
        """A style of the named ``family``."""
        chosen = {
            "light_x": float(rng.choice([-1, 1])) * rng.uniform(0.2, 0.9),
            "light_y": rng.uniform(-0.8, 0.1),
            **{name: rng.uniform(*bounds) for name, bounds in FAMILIES[family].items()},
        }
        if all(FAMILIES[family].get(name) == ANY for name in ("shadow_hue", "light_hue")):
            chosen["light_hue"] = (chosen["shadow_hue"] + rng.uniform(0.5, 1.5) + 1) % 2 - 1
        return cls.from_vector([chosen.get(name, getattr(cls, name)) for name in cls.FIELDS])

    @classmethod
    def free(cls, rng: np.random.Generator) -> Style:
        """A style of no family: every technique by chance, in any amount, with any setting."""
        chosen = dict(zip(cls.FIELDS, rng.uniform(*ANY, len(cls.FIELDS)), strict=True))
        for name, share in AMOUNTS.items():
            chosen[name] = rng.uniform(0.2, 1) if rng.random() < share else getattr(cls, name)
        if rng.random() < 0.5:
            chosen |= {name: getattr(cls, name) for name in PROPORTIONS}
        return cls.from_vector([chosen[name] for name in cls.FIELDS])

    @classmethod
    def photo(cls, rng: np.random.Generator) -> Style:
        """A photo, with its own light."""
        return cls.sample(rng, "photo")


AMOUNTS = {
    "flatness": 0.6, "outline": 0.5, "wobble": 0.4, "hatching": 0.2, "halftone": 0.2, "mosaic": 0.1, "duotone": 0.5,
    "neon": 0.1, "watercolour": 0.25, "angularity": 0.15,
}  # fmt: skip
"""Parameters that do nothing up to 0, and the share of free styles that have some of each."""
PROPORTIONS = ("eye_scale", "head_width", "head_height", "chin_scale")
"""Parameters that change the person's proportions."""

FAMILIES: dict[str, dict[str, tuple[float, float]]] = {
    "photo": {
        "saturation": (-0.05, 0.05), "contrast": (-0.1, 0.1),
    },
    "cel": {
        "flatness": (0.9, 1), "tones": (-0.8, -0.4), "outline": (0.4, 0.7), "saturation": (0.2, 0.5), "ink_hue": ANY,
        "ink_light": (-1, -0.7), "eye_scale": (0.3, 0.8), "chin_scale": (-0.8, -0.3),
    },
    "poster": {
        "flatness": (0.95, 1), "tones": (0.1, 0.7), "duotone": (0.9, 1), "contrast": (0.4, 0.7),
        "saturation": (0.5, 1), "shadow_hue": ANY, "light_hue": ANY, "paper": (0.6, 1),
    },
    "ink": {
        "flatness": (0.95, 1), "tones": (-1, -0.8), "duotone": (1, 1), "saturation": (-1, -0.6),
        "contrast": (0.5, 0.8), "outline": (0.4, 0.9), "wobble": (0.1, 0.6), "paper": (0.7, 1),
        "light_hue": (-0.75, -0.6),
    },
    "hatching": {
        "hatching": (0.8, 1), "duotone": (1, 1), "saturation": (-0.5, 0.1), "outline": (0.2, 0.5),
        "wobble": (0.1, 0.5), "paper": (0.4, 0.8), "light_hue": (-0.8, -0.6), "shadow_hue": ANY, "ink_hue": ANY,
        "texture_size": (-0.8, 0.3), "texture_angle": ANY, "contrast": (0.1, 0.4),
    },
    "halftone": {
        "halftone": (0.8, 1), "flatness": (0.6, 1), "tones": (-0.6, 0), "outline": (0.4, 0.8),
        "saturation": (0.5, 0.9), "texture_size": (-0.8, 0.4), "texture_angle": ANY, "contrast": (0.1, 0.4),
        "ink_hue": (0.2, 0.6),
    },
    "riso": {
        "halftone": (0.6, 0.8), "duotone": (0.9, 1), "saturation": (0.6, 1), "shadow_hue": ANY, "light_hue": ANY,
        "paper": (0.5, 0.9), "texture_size": (-0.6, 0.4), "texture_angle": ANY, "contrast": (0.2, 0.5),
    },
    "mosaic": {
        "mosaic": (0.9, 1), "texture_size": (-1, -0.2), "saturation": (0.3, 0.7), "contrast": (0.1, 0.5),
        "flatness": (0.3, 0.8), "tones": (0, 1), "eye_scale": (0.4, 0.9),
    },
    "duotone": {
        "duotone": (0.9, 1), "saturation": (0.4, 1), "shadow_hue": ANY, "light_hue": ANY, "paper": (0, 0.8),
        "contrast": (0.1, 0.5),
    },
    "neon": {
        "neon": (0.85, 1), "shadow_hue": ANY, "light_hue": ANY, "saturation": (0.4, 1), "eye_scale": (0, 0.5),
    },
    "watercolour": {
        "watercolour": (0.8, 1), "wobble": (0.2, 0.6), "saturation": (0, 0.5), "paper": (0.6, 1),
        "outline": (-0.5, 0.2), "ink_light": (-0.8, -0.4), "ink_hue": ANY, "light_hue": (-0.8, -0.5),
        "flatness": (0, 0.4),
    },
    "caricature": {
        "eye_scale": (0.6, 1), "head_width": (-0.6, 0.9), "head_height": (-0.6, 0.6), "chin_scale": ANY,
        "outline": (0.1, 0.4), "ink_hue": ANY, "saturation": (0.3, 0.7), "contrast": (0, 0.3), "flatness": (0, 0.3),
        "tones": (0, 1),
    },
    "cubist": {
        "angularity": (0.7, 1), "flatness": (0, 0.3), "saturation": (0.2, 0.7), "contrast": (0.3, 0.7),
        "outline": (0.3, 0.8), "ink_hue": ANY, "head_width": (-0.4, 0.2),
    },
    "chalk": {
        "duotone": (1, 1), "saturation": (-0.6, 0.2), "hatching": (0.8, 1), "outline": (0.4, 0.8),
        "wobble": (0.3, 0.7), "ink_light": (0.7, 1), "ink_hue": ANY, "shadow_hue": ANY, "texture_size": (-0.6, 0.4),
        "texture_angle": ANY, "paper": (0, 0.5),
    },
    "pencil": {
        "duotone": (1, 1), "saturation": (-1, -0.9), "hatching": (0.2, 0.4), "outline": (0.05, 0.2),
        "wobble": (0.2, 0.5), "ink_light": (-0.5, -0.2), "paper": (0.8, 1), "texture_size": (-1, -0.5),
        "texture_angle": ANY, "watercolour": (0.2, 0.4),
    },
    "noir": {
        "duotone": (1, 1), "saturation": (-1, -0.95), "contrast": (0.9, 1), "paper": (0.2, 0.8),
        "light_y": (-0.3, 0.3), "flatness": (0.5, 0.8), "tones": (-0.9, -0.5),
    },
    "pastel": {
        "watercolour": (0.3, 0.5), "contrast": (-1, -0.7), "saturation": (0.2, 0.6), "flatness": (0.6, 1),
        "tones": (0.2, 1), "eye_scale": (0.2, 0.6), "chin_scale": (-0.8, 0), "ink_light": (-0.4, 0),
        "outline": (0, 0.3), "ink_hue": ANY,
    },
}  # fmt: skip
