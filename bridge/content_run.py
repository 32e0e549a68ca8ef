"""One sampler run in which the content columns of the positive prompts are read or replaced.

A node adds one OUTER_SAMPLE wrapper to a clone of its MODEL. When a sampler starts, the wrapper makes a run and hangs
it into that sampler's own copy of the model options: nothing outlives the sampler, and no two samplers share a thing.
Around every UNet call the run puts itself in front of whatever each cross-attention layer would have done.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import uuid
from collections.abc import Callable, Iterator

import torch
from comfy.ldm.modules import attention
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ..styo_attention.content_tokens import ContentTokens
from .prompt_encoding import content_of

Layer = tuple[str, int, int]
"""(block, number, index) of a cross-attention layer, as ComfyUI's patches name it."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A tagged positive prompt of a run: its number, its content tokens and its own number of tokens L."""

    number: int
    content: ContentTokens
    length: int


class ContentRun:
    """What capture and inject share: which rows of each UNet call belong to which tagged prompt.

    Subclasses say what a new evaluation means (`begin_evaluation`, which returns whether to act in it) and what a
    cross-attention layer does (`attend`). Raises ValueError where no positive conditioning is tagged.
    """

    def __init__(self, guider, node: str, wanted: str):
        positive = guider.conds.get("positive", [])
        if not any(map(content_of, positive)):
            raise ValueError(
                f"{node}: the sampler's positive conditioning does not say which of its tokens are content. "
                f"Connect `{wanted}` of StyO Encode Prompts to the sampler's `positive`."
            )
        self._originals = len(positive)
        self._prompts: dict[uuid.UUID, Prompt] = {}
        self._active = False
        for hook, wrapper in (
            (WrappersMP.SAMPLER_SAMPLE, self._number_prompts),
            (WrappersMP.PREDICT_NOISE, self._evaluate),
            (WrappersMP.DIFFUSION_MODEL, self._call_unet),
        ):
            add_wrapper_with_key(hook, "styo", wrapper, guider.model_options, is_model_options=True)

    def begin_evaluation(self, sigma: float) -> bool:
        """Prepare for the sampler's next model evaluation, at noise level ``sigma``; False leaves it alone."""
        raise NotImplementedError

    def attend(self, layer: Layer, previous: Callable | None, batch: list[tuple[slice, Prompt]], q, k, v, options):
        """The output [B, N, heads * d] of a cross-attention layer; ``previous`` is another node's replacement of it."""
        raise NotImplementedError

    @property
    def contents(self) -> list[ContentTokens]:
        """Content tokens of the run's prompts, by their number."""
        return [prompt.content for prompt in self._prompts.values()]

    def _number_prompts(self, executor, guider, *args, **kwargs):
        """Note every tagged prompt by its uuid, now that ComfyUI has resolved areas and masks.

        For areas ComfyUI appends copies of conditionings, which take tag and uuid from the other side and only the
        embedding from their own: a prompt is known by its embedding, and gets a uuid of its own.
        """
        positive = guider.conds["positive"]
        tagged = {id(c["model_conds"]["c_crossattn"]): c for c in positive[: self._originals] if content_of(c)}
        uses = collections.Counter(c["uuid"] for conditionings in guider.conds.values() for c in conditionings)
        for i, conditioning in enumerate(positive):
            original = tagged.get(id(conditioning["model_conds"]["c_crossattn"]))
            if original is None:
                continue
            if uses[conditioning["uuid"]] > 1:
                positive[i] = conditioning = {**conditioning, "uuid": uuid.uuid4()}
            prompt = Prompt(len(self._prompts), content_of(original), original["cross_attn"].shape[1])
            self._prompts[conditioning["uuid"]] = prompt
        return executor(guider, *args, **kwargs)

    def _evaluate(self, executor, x, timestep, *args, **kwargs):
        """One model evaluation of the sampler, with every re-entry for guidance (PAG, SAG) that belongs to it."""
        self._active = self.begin_evaluation(float(timestep[0]))
        return executor(x, timestep, *args, **kwargs)

    def _call_unet(self, executor, x, timesteps, context, y, control, transformer_options, *args, **kwargs):
        uuids = transformer_options["uuids"]
        rows = x.shape[0] // len(uuids)
        batch = [
            (slice(i * rows, (i + 1) * rows), self._prompts[prompt])
            for i, prompt in enumerate(uuids)
            if prompt in self._prompts
        ]
        if batch and self._active:
            replace = dict(transformer_options.get("patches_replace", {}))
            replace["attn2"] = attn2 = dict(replace.get("attn2", {}))
            for layer in _cross_attention_layers(executor.class_obj):
                previous = attn2.get(layer, attn2.get(layer[:2]))
                attn2[layer] = functools.partial(self._attend, layer, previous, batch, x.shape[0])
            transformer_options = {**transformer_options, "patches_replace": replace}
        return executor(x, timesteps, context, y, control, transformer_options, *args, **kwargs)

    def _attend(self, layer, previous, batch, rows, q, k, v, options):
        if q.shape[0] != rows or any(k.shape[1] % prompt.length for _, prompt in batch):
            raise ValueError(
                f"Another node rewrites the prompt inside cross-attention layer {layer} ({q.shape[0]} items of "
                f"{k.shape[1]} tokens): StyO cannot tell the content tokens there. Take that node out of this MODEL."
            )
        return self.attend(layer, previous, batch, q, k, v, options)


def own_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict) -> torch.Tensor:
    """The attention call that ComfyUI's cross-attention layer itself makes, whichever backend is chosen."""
    return attention.optimized_attention(
        q, k, v, options["n_heads"], attn_precision=options["attn_precision"], transformer_options=options
    )


def _cross_attention_layers(unet) -> Iterator[Layer]:
    blocks = [("input", i, block) for i, block in enumerate(unet.input_blocks)]
    blocks += [("middle", 0, unet.middle_block)]
    blocks += [("output", i, block) for i, block in enumerate(unet.output_blocks)]
    for name, number, block in blocks:
        for module in block:
            if isinstance(module, SpatialTransformer):
                for index in range(len(module.transformer_blocks)):
                    yield name, number, index
