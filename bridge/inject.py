"""The stylization pass: the content columns of M_sty are replaced by those of M_src (StyO, section 3.3)."""

from __future__ import annotations

import dataclasses
import functools
import logging
import uuid

import torch
from comfy.patcher_extension import WrappersMP

from ..styo_attention.columns import Replacement, replace_columns, replace_columns_of
from ..styo_attention.content_tokens import align
from ..styo_attention.store import Evaluation, SourceMaps
from . import capture
from .content_run import ContentRun, Layer, Prompt, own_attention

SAME_SIGMA = 1e-4
"""Relative difference up to which two noise levels are the same."""


@dataclasses.dataclass(frozen=True)
class Inject:
    """Replaces content columns by ``maps`` in every sampler run of the MODEL it is attached to.

    ``strength`` s mixes (1 - s) own + s source; ``start_percent`` and ``end_percent`` bound the part of sampling, 0..1.
    """

    maps: SourceMaps
    strength: float
    start_percent: float
    end_percent: float

    def attach(self, model):
        """A clone of ``model`` with replacement on, and without capturing."""
        model = model.clone()
        capture.detach(model)
        if self.strength > 0 and self.start_percent < self.end_percent:
            model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, f"styo_inject_{uuid.uuid4()}", self._sample)
        return model

    def _sample(self, executor, noise, latent_image, *args, **kwargs):
        self._require_same_size(noise)
        if not self.maps.starts_from(noise, latent_image):
            logging.warning(
                "StyO: this pass starts from other noise than the source pass: link one seed and latent to both."
            )
        _InjectRun(executor.class_obj, self)
        return executor(noise, latent_image, *args, **kwargs)

    def _require_same_size(self, noise: torch.Tensor) -> None:
        source, own = self.maps.shape, noise.shape
        if own[2:] != source[2:] or source[0] not in (1, own[0]):
            raise ValueError(
                "StyO Attention Inject: the latent sizes differ: the source pass had "
                f"{_spell_size(source)}, this pass has {_spell_size(own)}. Give both samplers the same latent."
            )


def _spell_size(latent: torch.Size) -> str:
    batch, _, height, width = latent
    return f"{batch} of {width * 8} x {height * 8} pixels"


class _InjectRun(ContentRun):
    def __init__(self, guider, inject: Inject):
        super().__init__(guider, "StyO Attention Inject", "stylized")
        self._maps = inject.maps
        self._strength = inject.strength
        sampling = guider.model_patcher.get_model_object("model_sampling")
        self._highest = float(sampling.percent_to_sigma(inject.start_percent))
        self._lowest = float(sampling.percent_to_sigma(inject.end_percent))
        self._visits: dict[float, int] = {}
        self._evaluation: Evaluation = {}
        self._warned: set[str] = set()

    def begin_evaluation(self, sigma: float) -> bool:
        captured = self._maps.nearest(sigma)
        visit = self._visits[captured] = self._visits.get(captured, -1) + 1
        self._evaluation = self._maps.at(captured, visit)
        active = self._lowest <= sigma <= self._highest
        if active and abs(captured - sigma) > SAME_SIGMA * sigma:
            self._warn_once(
                f"the source pass has no maps at sigma {sigma:.4f}; those at the nearest, {captured:.4f}, are used. "
                "Give both samplers the same scheduler and steps.",
                topic="sigma",
            )
        return active

    def attend(self, layer, previous, batch, q, k, v, options):
        heads = options["n_heads"]
        found = [self._replacement(layer, rows, prompt, q) for rows, prompt in batch]
        replacements = [replacement for replacement in found if replacement]
        if previous:
            return replace_columns_of(previous(q, k, v, options), q, k, v, replacements, heads)
        return replace_columns(q, k, v, replacements, heads, functools.partial(own_attention, options=options))

    def _replacement(self, layer: Layer, rows: slice, prompt: Prompt, q: torch.Tensor) -> Replacement | None:
        number = prompt.number if len(self._maps.contents) > 1 else 0
        source = self._evaluation.get((layer, number))
        if source is None:
            self._warn_once(f"the source pass has no map of cross-attention layer {layer}; it keeps its own.", "layer")
            return None
        if source.shape[2] != q.shape[1]:
            raise ValueError(
                f"StyO Attention Inject: cross-attention layer {layer} has {q.shape[1]} positions, in the source pass "
                f"it had {source.shape[2]}: give both samplers the same areas, masks and model patches."
            )
        own, theirs = align(prompt.content, self._maps.contents[number])
        if len(own) < source.shape[-1] or len(own) < len(prompt.content.positions):
            self._warn_once(
                "the two prompts differ in their content part; the tokens they share are replaced.", "tokens"
            )
        if theirs != list(range(source.shape[-1])):
            source = source[..., theirs]
        return Replacement(rows, own, prompt.length, source.to(q.device, q.dtype), self._strength)

    def _warn_once(self, message: str, topic: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            logging.warning("StyO: %s", message)
