"""Replacing content columns in the evaluation of a prompt: M_ctr of StyO, section 3.3."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch

from ..styo_attention.columns import Replacement, compare_columns, replace_columns, replace_columns_of
from ..styo_attention.content_tokens import ContentTokens, align
from ..styo_attention.store import Evaluation, Key
from .content_run import Layer, own_attention
from .run_report import Report
from .tagged_prompts import Part, Prompt

MEASURED = 11
"""Every how-manieth layer is measured for the log: a prime, so that evaluation by evaluation it is another."""


OTHER_CALLS = (
    "{node}: this pass has {own}, the source pass had {theirs}: they cut the latent into other parts. Give both "
    "samplers the same areas, masks and model patches (tiles, context windows, guidance)."
)


class Moved:
    """How much attention is in the content columns, and how much of it a run has moved, measured on the way."""

    def __init__(self):
        self._layers = 0
        self._sums: torch.Tensor | None = None

    def measure(self, q, k, replacements: Sequence[Replacement], heads: int) -> None:
        """Take one layer into account, if its turn has come; nothing waits for the GPU."""
        if self._layers % MEASURED == 0:
            sums = sum(compare_columns(q, k, replacement, heads) for replacement in replacements)
            self._sums = sums if self._sums is None else self._sums + sums
        self._layers += 1

    def __str__(self) -> str:
        if self._sums is None:
            return ""
        positions, both, difference = self._sums.tolist()
        return (
            f"; they hold {both / 2 / positions:.1%} of the attention, {difference / max(both, 1e-12):.1%} of which "
            "was moved"
        )


class Replacing:
    """Replaces the content columns of every layer by those that ``find`` gives for a prompt: its content and maps.

    ``strength`` s mixes (1 - s) own + s source.
    """

    def __init__(
        self,
        node: str,
        find: Callable[[Prompt], tuple[int, ContentTokens, Evaluation]],
        strength: float,
        report: Report,
        moved: Moved,
    ):
        self._node, self._strength, self._report, self._moved = node, strength, report, moved
        self._find = functools.cache(find)

    def attend(self, layer: Layer, parts: Sequence[Part], previous: Callable | None, q, k, v, options) -> torch.Tensor:
        heads = options["n_heads"]
        found = [self._replacement(layer, part, q, heads) for part in parts]
        replacements = [replacement for replacement in found if replacement]
        if not replacements:
            return (previous or own_attention)(q, k, v, options)
        self._moved.measure(q, k, replacements, heads)
        if previous:
            return replace_columns_of(previous(q, k, v, options), q, k, v, replacements, heads)
        return replace_columns(q, k, v, replacements, heads, functools.partial(own_attention, options=options))

    def end(self, parts: Sequence[Part]) -> None:
        """Refuse, by ValueError, a pass that has cut its evaluation into other UNet calls than the source pass did."""
        for prompt in {part.prompt for part in parts}:
            number, _, evaluation = self._find(prompt)
            theirs = _main(evaluation.calls(number))
            own = _main({part.call for part in parts if part.prompt is prompt})
            if len(theirs) > 1 and own != theirs:
                raise ValueError(OTHER_CALLS.format(node=self._node, own=f"{len(own)} UNet calls", theirs=len(theirs)))

    def _replacement(self, layer: Layer, part: Part, q: torch.Tensor, heads: int) -> Replacement | None:
        number, content, evaluation = self._find(part.prompt)
        source = _columns(evaluation, layer, number, part.call)
        if source is None:
            self._report.warn_once(
                f"the source pass has no map of cross-attention layer {layer} where this pass needs one; the layer "
                "keeps its own.",
                "layer",
            )
            return None
        rows = q[part.rows]
        if source.shape[2] != rows.shape[1] or source.shape[0] not in (1, rows.shape[0]):
            own = f"{rows.shape[0]} x {rows.shape[1]} positions at cross-attention layer {layer}"
            theirs = f"{source.shape[0]} x {source.shape[2]}"
            raise ValueError(OTHER_CALLS.format(node=self._node, own=own, theirs=theirs))
        if source.shape[1] != heads:
            raise ValueError(
                f"{self._node}: cross-attention layer {layer} has {heads} heads, in the source pass it had "
                f"{source.shape[1]}: its maps are of another checkpoint. Give both passes the same MODEL."
            )
        own, theirs = align(part.prompt.content, content)
        if len(own) < source.shape[-1] or len(own) < len(part.prompt.content.positions):
            self._report.warn_once(
                f"the two prompts differ in their content part ({part.prompt.content}; in the source pass {content}); "
                "the tokens they share are replaced.",
                "tokens",
            )
        if theirs != list(range(source.shape[-1])):
            source = source[..., theirs]
        source = source.to(q.device, q.dtype, non_blocking=True)
        return Replacement(part.rows, own, part.prompt.length, source, self._strength)


def _columns(evaluation: Evaluation, layer: Layer, number: int, call: tuple[str, int]) -> torch.Tensor | None:
    """The columns of the same UNet call; of the only call, where the source pass needed no more than one."""
    columns = evaluation.columns.get(Key(layer, number, call))
    if columns is None and len(main := _main(evaluation.calls(number))) == 1:
        columns = evaluation.columns.get(Key(layer, number, *main))
    return columns


def _main(calls: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """The UNet calls that are not guidance's own."""
    return {call for call in calls if call[0] == "main"}
