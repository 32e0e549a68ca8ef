"""The content columns M_src[:, I] of one source pass, kept per model evaluation, cross-attention layer and prompt."""

from __future__ import annotations

from collections.abc import Hashable

import torch

from .content_tokens import ContentTokens

Evaluation = dict[tuple[Hashable, int], torch.Tensor]
"""Columns [B, heads, N, I] by (layer, prompt)."""


class SourceMaps:
    """M_src[:, I] of one source pass that started from ``noise`` and ``latent``, both [B, C, H, W].

    Evaluations are found by their sigma and, where a sampler evaluates one sigma more than once (heun does), by their
    order at it. ``contents`` are the content tokens of the pass's prompts, in the order the columns are numbered by.
    """

    def __init__(self, noise: torch.Tensor, latent: torch.Tensor):
        self._start = (noise, latent)
        self.contents: list[ContentTokens] = []
        self._evaluations: dict[float, list[Evaluation]] = {}

    @property
    def shape(self) -> torch.Size:
        """[B, C, H, W] of the pass's latent."""
        return self._start[0].shape

    def starts_from(self, noise: torch.Tensor, latent: torch.Tensor) -> bool:
        """Whether the first item of another pass starts where this pass's first item started."""
        return all(
            torch.equal(own[:1].float().cpu(), other[:1].float().cpu())
            for own, other in zip(self._start, (noise, latent), strict=True)
        )

    def open(self, sigma: float) -> Evaluation:
        """Begin the next evaluation at noise level ``sigma``; the caller fills it."""
        evaluation: Evaluation = {}
        self._evaluations.setdefault(sigma, []).append(evaluation)
        return evaluation

    def close(self, contents: list[ContentTokens]) -> None:
        """End the pass: drop evaluations in which no tagged prompt ran, and note whose columns the others hold."""
        self.contents = contents
        filled = {sigma: [e for e in visits if e] for sigma, visits in self._evaluations.items()}
        self._evaluations = {sigma: visits for sigma, visits in filled.items() if visits}

    def nearest(self, sigma: float) -> float:
        """The captured noise level nearest to ``sigma``."""
        return min(self._evaluations, key=lambda captured: abs(captured - sigma))

    def at(self, sigma: float, visit: int) -> Evaluation:
        """The evaluation made at the ``visit``-th visit of the captured noise level ``sigma``, or the last there."""
        visits = self._evaluations[sigma]
        return visits[min(visit, len(visits) - 1)]

    def __len__(self) -> int:
        return sum(map(len, self._evaluations.values()))

    @property
    def tensors(self) -> list[torch.Tensor]:
        """Every stored tensor."""
        return [
            columns for visits in self._evaluations.values() for evaluation in visits for columns in evaluation.values()
        ]

    @property
    def nbytes(self) -> int:
        """Bytes stored: positions x heads x columns x evaluations x bytes a value."""
        return sum(columns.nbytes for columns in self.tensors)
