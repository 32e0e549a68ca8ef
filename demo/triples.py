"""A task for StyO whose answer is known: a source and a target portrait, auxiliary faces, and the ground truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from .held_out import identity, stranger
from .portraits import Content, Pose, Style, render


@dataclasses.dataclass(frozen=True)
class Triple:
    """Who is stylized, who sits for the artwork, and how photo and artwork are drawn."""

    source: Content
    target: Content
    photo: Style
    style: Style

    @classmethod
    def of(cls, identities: int, source: int, target: int, family: str, seed: int) -> Triple:
        """The held-out identities ``source`` and ``target`` of the set ``identities``; all else is drawn."""
        rng = np.random.default_rng((identities, seed, source, target))
        source_pose, target_pose = Pose.sample(rng), Pose.sample(rng)
        return cls(
            Content(identity(source, identities), source_pose),
            Content(identity(target, identities), target_pose),
            Style.photo(rng),
            Style.sample(rng, family),
        )

    @property
    def source_image(self) -> np.ndarray:
        """The source person as a photo, [128, 128, 3] in 0..1."""
        return render(self.source, self.photo)

    @property
    def target_image(self) -> np.ndarray:
        """The target person in the style."""
        return render(self.target, self.style)

    @property
    def ground_truth(self) -> np.ndarray:
        """The source person in the style."""
        return render(self.source, self.style)


def auxiliary_images(count: int, identities: int, seed: int) -> Iterator[np.ndarray]:
    """Photos of ``count`` other people, none of them held out, for the tasks of a set of ``identities``."""
    rng = np.random.default_rng((identities, seed, count))
    for _ in range(count):
        yield render(Content(stranger(rng), Pose.sample(rng)), Style.photo(rng))
