"""Reading content columns M[:, I] in the evaluation of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..styo_attention.columns import read_columns
from ..styo_attention.store import Evaluation, Key
from .content_run import Layer, own_attention
from .tagged_prompts import Part


class Reading:
    """Puts M[:, I] of every layer, prompt and UNet call into ``evaluation``; the attention itself is left as it is.

    ``keep`` says where columns are kept, ``sizes`` takes the (height, width) of each place.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        sizes: dict[Key, tuple[int, int]],
        keep: Callable[[torch.Tensor], torch.Tensor] = lambda columns: columns,
    ):
        self._evaluation, self._sizes, self._keep = evaluation, sizes, keep

    def attend(self, layer: Layer, parts: Sequence[Part], previous: Callable | None, q, k, v, options) -> torch.Tensor:
        for part in parts:
            key = Key(layer, part.prompt.number, part.call)
            own = k[part.rows, : part.prompt.length]
            columns = read_columns(q[part.rows], own, part.prompt.content.positions, options["n_heads"])
            self._evaluation.columns[key] = self._keep(columns)
            self._sizes[key] = tuple(options["activations_shape"][-2:])
        return (previous or own_attention)(q, k, v, options)

    def end(self, parts: Sequence[Part]) -> None:
        """Nothing is left to do."""
