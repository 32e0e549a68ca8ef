"""The content columns M_src[:, I] of one source pass, kept per model evaluation, cross-attention layer and prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator
from typing import NamedTuple

import torch

from .content_tokens import ContentTokens


class Key(NamedTuple):
    """Where in an evaluation columns were read: the layer, the prompt's number, and its how-manieth UNet call."""

    layer: Hashable
    prompt: int
    call: Hashable


@dataclasses.dataclass
class Evaluation:
    """One model evaluation at noise level ``sigma``: columns [B, heads, N, I] by where they were read."""

    sigma: float
    columns: dict[Key, torch.Tensor] = dataclasses.field(default_factory=dict)

    def calls(self, prompt: int) -> set:
        """The UNet calls of this evaluation that a prompt was part of."""
        return {key.call for key in self.columns if key.prompt == prompt}


@dataclasses.dataclass(frozen=True)
class Course:
    """How a pass samples: the sampler's name and the noise levels of its steps."""

    sampler: str
    sigmas: tuple[float, ...]

    def contains(self, other: Course) -> bool:
        """Whether ``other`` is this course or, as of a sampler split in two, a part of it."""
        return self.sampler == other.sampler and set(other.sigmas) <= set(self.sigmas)


class SourceMaps:
    """M_src[:, I] of one source pass over latents of ``shape`` [B, C, H, W].

    ``contents`` are the content tokens of the pass's prompts, in the order the columns are numbered by, ``sizes`` the
    (height, width) that the N positions of a layer are, row by row. Evaluations are found by their sigma and, where a
    sampler evaluates one sigma more than once (heun does), by their order at it.
    """

    def __init__(self, shape: torch.Size, course: Course):
        self.shape = shape
        self.course = course
        self.contents: list[ContentTokens] = []
        self.sizes: dict[Key, tuple[int, int]] = {}
        self.evaluations: list[Evaluation] = []

    def goes_on_from(self, earlier: SourceMaps) -> bool:
        """Whether this pass is the rest of one that a sampler split in two began: same prompts, next noise level."""
        same = self.shape == earlier.shape and self.contents == earlier.contents
        return same and self.course.sigmas[0] == earlier.course.sigmas[-1]

    def followed_by(self, rest: SourceMaps) -> SourceMaps:
        """This pass and the ``rest`` of it as one."""
        whole = SourceMaps(self.shape, Course(rest.course.sampler, (*self.course.sigmas, *rest.course.sigmas)))
        whole.contents, whole.sizes = self.contents, self.sizes | rest.sizes
        whole.evaluations = [*self.evaluations, *rest.evaluations]
        return whole

    def open(self, sigma: float) -> Evaluation:
        """Begin the next evaluation at noise level ``sigma``; the caller fills it."""
        evaluation = Evaluation(sigma)
        self.evaluations.append(evaluation)
        return evaluation

    def close(self, contents: list[ContentTokens]) -> None:
        """End the pass: drop evaluations in which no tagged prompt ran, and note whose columns the others hold."""
        self.contents = contents
        self.evaluations = [evaluation for evaluation in self.evaluations if evaluation.columns]

    def nearest(self, sigma: float, prompt: int) -> list[Evaluation]:
        """The evaluations of ``prompt`` at the captured noise level nearest to ``sigma``, in order; maybe none."""
        captured = [evaluation for evaluation in self.evaluations if evaluation.calls(prompt)]
        closest = min((evaluation.sigma for evaluation in captured), key=lambda s: abs(s - sigma), default=None)
        return [evaluation for evaluation in captured if evaluation.sigma == closest]

    @property
    def layers(self) -> list[Hashable]:
        """The layers read, in the order the UNet runs them."""
        return list(dict.fromkeys(key.layer for evaluation in self.evaluations for key in evaluation.columns))

    @property
    def sigmas(self) -> list[float]:
        """The noise levels read, highest first."""
        return sorted({evaluation.sigma for evaluation in self.evaluations}, reverse=True)

    def __len__(self) -> int:
        return len(self.evaluations)

    def __iter__(self) -> Iterator[tuple[float, Key, torch.Tensor]]:
        """Every stored tensor with the noise level and the place it was read at."""
        for evaluation in self.evaluations:
            for key, columns in evaluation.columns.items():
                yield evaluation.sigma, key, columns

    @property
    def tensors(self) -> list[torch.Tensor]:
        """Every stored tensor."""
        return [columns for _, _, columns in self]

    @property
    def nbytes(self) -> int:
        """Bytes stored: positions x heads x columns x evaluations x bytes a value."""
        return sum(columns.nbytes for columns in self.tensors)
