"""Which portraits are stylized: fixed triples of held-out people in held-out styles, and the faces beside them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from styo.demo.held_out import EVALUATION_FAMILIES, EVALUATION_SEED, IDENTITIES, TUNING_FAMILIES, TUNING_SEED
from styo.demo.triples import Triple, auxiliary_images

TRIPLES = 30


@dataclasses.dataclass(frozen=True)
class Task:
    """One triple of a set of ``identities``, and the name it is kept under."""

    name: str
    triple: Triple
    identities: int
    number: int

    @property
    def source(self) -> torch.Tensor:
        """The photo, IMAGE [1, 128, 128, 3]."""
        return torch.from_numpy(self.triple.source_image)[None]

    @property
    def target(self) -> torch.Tensor:
        """The artwork, IMAGE [1, 128, 128, 3]."""
        return torch.from_numpy(self.triple.target_image)[None]

    @property
    def ground_truth(self) -> torch.Tensor:
        """The right answer, IMAGE [1, 128, 128, 3]."""
        return torch.from_numpy(self.triple.ground_truth)[None]

    def auxiliary(self, count: int) -> torch.Tensor:
        """Other people's photos, IMAGE [count, 128, 128, 3]."""
        return torch.from_numpy(np.stack(list(auxiliary_images(count, self.identities, self.number))))


def tasks(tuning: bool = False) -> list[Task]:
    """The triples of the evaluation set, or of the tuning set; no person occurs twice, and the families take turns."""
    identities = TUNING_SEED if tuning else EVALUATION_SEED
    families = TUNING_FAMILIES if tuning else EVALUATION_FAMILIES
    assert 2 * TRIPLES <= IDENTITIES
    found = []
    for number in range(TRIPLES):
        family = families[number % len(families)]
        triple = Triple.of(identities, 2 * number, 2 * number + 1, family, number)
        found.append(Task(f"{number:02}-{family}", triple, identities, number))
    return found
