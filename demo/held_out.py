"""Which portraits are kept from the demo model's training and from every choice made for it.

Evaluation and tuning each have identities and style families of their own; training draws none that is near one of
either.
"""

from __future__ import annotations

import functools

import numpy as np

from .portraits.content import Content, Identity, Pose
from .portraits.style import FAMILIES, Style

EVALUATION_SEED, TUNING_SEED = 7_000_000, 8_000_000
IDENTITIES = 64
"""Identities that evaluation may use, and as many that tuning may use."""
LEAST_DISTANCE = 0.3
"""Root mean square difference of the parameters, below which two identities count as the same person.

It is there to be safe: of 60 000 random identities the nearest was 0.37 from a held-out one, the median 0.59.
"""
EVALUATION_FAMILIES = ("riso", "noir", "pastel")
TUNING_FAMILIES = ("chalk", "pencil")
"""Styles whose techniques occur in other families, but not together."""
HELD_OUT_FAMILIES = EVALUATION_FAMILIES + TUNING_FAMILIES
STYLE_MARGIN = 0.2
"""A style this near to all the bounds of a family counts as one of it."""
FREE_SHARE = 0.5
"""The share of training's pictures whose style is of no family."""


def identity(number: int, seed: int) -> Identity:
    """The held-out identity ``number`` of the set with this ``seed``."""
    return Identity.sample(np.random.default_rng((seed, number)))


@functools.cache
def _held_out() -> np.ndarray:
    """The vectors of all identities that are kept, made when the first is asked for and not at ComfyUI's start."""
    sets = (EVALUATION_SEED, TUNING_SEED)
    return np.stack([identity(number, seed).vector for seed in sets for number in range(IDENTITIES)])


PRETRAINING_FAMILIES = tuple(name for name in FAMILIES if name not in HELD_OUT_FAMILIES)


def is_held_out(identity: Identity) -> bool:
    """Whether an identity is too near one of evaluation or tuning."""
    distances = np.sqrt(((_held_out() - identity.vector) ** 2).mean(1))
    return bool(distances.min() < LEAST_DISTANCE)


def is_held_out_style(style: Style) -> bool:
    """Whether a style has everything that makes up a family of evaluation or tuning, or nearly so."""

    def near(family: str) -> bool:
        bounds = FAMILIES[family].items()
        return all(low - STYLE_MARGIN <= getattr(style, name) <= high + STYLE_MARGIN for name, (low, high) in bounds)

    return any(map(near, HELD_OUT_FAMILIES))


def stranger(rng: np.random.Generator) -> Identity:
    """A person that is not held out."""
    while is_held_out(person := Identity.sample(rng)):
        pass
    return person


def open_style(rng: np.random.Generator) -> Style:
    """A style that is not held out: of any other family, or of none."""
    family = PRETRAINING_FAMILIES[rng.integers(len(PRETRAINING_FAMILIES))]
    free = rng.random() < FREE_SHARE
    while is_held_out_style(style := Style.free(rng) if free else Style.sample(rng, family)):
        pass
    return style


def pretraining_portrait(rng: np.random.Generator) -> tuple[Content, Style]:
    """A portrait that training may see."""
    return Content(stranger(rng), Pose.sample(rng)), open_style(rng)
