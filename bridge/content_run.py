"""One sampler run in which the content columns of its tagged prompts are read, replaced, or both.

A node adds an OUTER_SAMPLE wrapper to a clone of its MODEL. When a sampler starts, the wrapper makes a `ContentRun` and
hangs it into that sampler's own copy of the model options: nothing outlives the sampler, no two samplers share a thing.

    ComfyUI calls                             and there the run
    OUTER_SAMPLE       a sampler's run        is made and ended                      Capture, Inject, SourceAttention
      SAMPLER_SAMPLE     its steps            learns which prompts are tagged        begin_steps
        PREDICT_NOISE      an evaluation      asks what to do at its noise level     begin_evaluation -> Task or None
          CALC_COND_BATCH    some prompts     notes how many rows each will have
            DIFFUSION_MODEL    a UNet call    finds the rows of its prompts          tagged_prompts.find_rows
              attn2              a layer      hands it to the task                   Task.attend

A `Task` is one of two: `Reading` puts M[:, I] into an `Evaluation`, `Replacing` takes it from one. Capture reads in one
sampler and Inject replaces in the next; SourceAttention does both, one after the other, in each evaluation.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from comfy.ldm.modules import attention
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY

from ..styo_attention.content_tokens import ContentTokens
from ..styo_attention.store import Course
from .prompt_encoding import content_of
from .run_report import Reach, Report
from .tagged_prompts import Part, Prompt, find_rows, have_twins, number_prompts

KEY = "styo"
"""Key of the run's wrappers in a sampler's model options."""

Layer = tuple[str, int, int]
"""(block, number, index) of a cross-attention layer, as ComfyUI's patches name it."""


class Task(Protocol):
    """What happens at the cross-attention layers of one evaluation."""

    def attend(self, layer: Layer, parts: Sequence[Part], previous: Callable | None, q, k, v, options) -> torch.Tensor:
        """A layer's output [B, N, heads * d]; ``previous`` is another node's replacement of its attention."""

    def end(self, parts: Sequence[Part]) -> None:
        """The evaluation is over; ``parts`` are all that was seen of the prompts in it."""


class ContentRun:
    """Follows one sampler run of ``guider``. Raises ValueError where no positive conditioning is tagged.

    Subclasses say what an evaluation is for. ``node`` and ``wanted`` are the words for messages: a node's name, and the
    output of StyO Encode Prompts that the sampler's positive should be. ``did`` says what the run does to columns.
    """

    node: str
    wanted: str
    did: str

    def __init__(self, guider):
        positive = guider.conds.get("positive", [])
        if not any(map(content_of, positive)):
            raise ValueError(
                f"{self.node}: the sampler's positive conditioning does not say which of its tokens are content. "
                f"Connect `{self.wanted}` of StyO Encode Prompts to the sampler's `positive`."
            )
        self.prompts: list[Prompt] = []
        self.report = Report(self.node, self.did)
        self._by_uuid: dict = {}
        self._twins = False
        self._originals = len(positive)
        self._task: Task | None = None
        self._reach: Reach | None = None
        self._items = 1
        self._hook_into(guider.model_options)

    def begin_steps(self, guider, noise: torch.Tensor) -> None:
        """The sampler is about to step, its model loaded and ``self.prompts`` known."""

    def begin_evaluation(self, sigma: float, timestep: torch.Tensor, model_options: dict) -> Task | None:
        """What to do in the evaluation at noise level ``sigma``; None leaves it alone."""
        raise NotImplementedError

    @property
    def contents(self) -> list[ContentTokens]:
        """Content tokens of the run's prompts, by their number."""
        return [prompt.content for prompt in self.prompts]

    def wrappers_alone(self, model_options: dict) -> dict:
        """The model options with no wrappers but this run's, for evaluations that other nodes know nothing of."""
        ours = {
            hook: {KEY: [wrapper]}
            for hook, wrapper in (
                (WrappersMP.CALC_COND_BATCH, self._calc_cond_batch),
                (WrappersMP.DIFFUSION_MODEL, self._call_unet),
            )
        }
        return {**model_options, "transformer_options": {**model_options["transformer_options"], "wrappers": ours}}

    def add_prompts(self, prompts: dict) -> None:
        """Look for these prompts, by their uuid, in UNet calls too."""
        self._by_uuid |= prompts

    def observe(self, task: Task, due: Sequence[Prompt], evaluate: Callable[[], torch.Tensor]) -> tuple:
        """``evaluate()`` with ``task`` at every layer, and how far it reached the prompts ``due`` in it."""
        outer = self._task, self._reach
        self._task, self._reach = task, (reach := Reach(due))
        try:
            result = evaluate()
            task.end(reach.parts)
        finally:
            self._task, self._reach = outer
        return result, reach

    def _hook_into(self, options: dict) -> None:
        for hook, wrapper in (
            (WrappersMP.SAMPLER_SAMPLE, self._sample),
            (WrappersMP.PREDICT_NOISE, self._predict_noise),
            (WrappersMP.CALC_COND_BATCH, self._calc_cond_batch),
            (WrappersMP.DIFFUSION_MODEL, self._call_unet),
        ):
            add_wrapper_with_key(hook, KEY, wrapper, options, is_model_options=True)
        wrappers = options["transformer_options"]["wrappers"]
        # First of all wrappers, it tells a UNet that another wrapper leaves out (a cache) from one never called.
        unet = wrappers[WrappersMP.DIFFUSION_MODEL]
        wrappers[WrappersMP.DIFFUSION_MODEL] = {f"{KEY}_enter": [], **unet}
        wrappers[WrappersMP.DIFFUSION_MODEL][f"{KEY}_enter"].append(self._enter_unet)
        options["sampler_pre_cfg_function"] = [self._begin_guidance, *options.get("sampler_pre_cfg_function", [])]
        # Compiled code keeps the patches that it was compiled with, for later runs too.
        if wrappers.get(WrappersMP.APPLY_MODEL, {}).pop(COMPILE_KEY, None):
            logging.info("StyO: torch.compile is left out where attention is read or replaced.")

    def _sample(self, executor, guider, sigmas, extra_args, callback, noise, *args, **kwargs):
        if any(hasattr(module, "_orig_mod") for module in guider.inner_model.diffusion_model.modules()):
            raise ValueError(
                f"{self.node}: another node has compiled this MODEL in a way that cannot be left out. Take it out, or "
                "use ComfyUI's own TorchCompileModel."
            )
        self._by_uuid |= number_prompts(guider.conds, self._originals)
        self.prompts = list(self._by_uuid.values())
        self._twins = have_twins(self.prompts, guider.conds)
        self.begin_steps(guider, noise)
        return executor(guider, sigmas, extra_args, callback, noise, *args, **kwargs)

    def _predict_noise(self, executor, x, timestep, model_options=None, seed=None):
        """One model evaluation of the sampler, with every re-entry for guidance (PAG, SAG) that belongs to it."""
        sigma = float(timestep[0])
        due = [prompt for prompt in self.prompts if prompt.is_due(sigma)]
        self._items = x.shape[0]
        task = self.begin_evaluation(sigma, timestep, model_options)
        if task is None:
            return executor(x, timestep, model_options, seed)
        result, reach = self.observe(task, due, lambda: executor(x, timestep, model_options, seed))
        self.report.add(reach)
        return result

    def _begin_guidance(self, args: dict) -> torch.Tensor:
        if self._reach:
            self._reach.guidance = True
        return args["conds_out"]

    def _calc_cond_batch(self, executor, model, conds, x, *args, **kwargs):
        self._items = x.shape[0]
        return executor(model, conds, x, *args, **kwargs)

    def _enter_unet(self, executor, *args, **kwargs):
        if self._reach:
            self._reach.entered = True
        return executor(*args, **kwargs)

    def _call_unet(self, executor, x, timesteps, context, y, control, transformer_options, *args, **kwargs):
        parts = self._find_parts(context, transformer_options.get("uuids", ())) if self._task else []
        if not parts:
            return executor(x, timesteps, context, y, control, transformer_options, *args, **kwargs)
        unet = executor.class_obj
        layers, missed = cross_attention_layers(unet), set(cross_attention_layers(unet))
        replace = dict(transformer_options.get("patches_replace", {}))
        replace["attn2"] = attn2 = dict(replace.get("attn2", {}))
        for layer in layers:
            attend = functools.partial(self._task.attend, layer, parts, attn2.get(layer, attn2.get(layer[:2])))
            attn2[layer] = functools.partial(_check_layer, layer, context.shape[:2], missed, attend)
        transformer_options = {**transformer_options, "patches_replace": replace}
        out = executor(x, timesteps, context, y, control, transformer_options, *args, **kwargs)
        self._reach.note(parts, len(layers), len(missed))
        return out

    def _find_parts(self, context, uuids) -> list[Part]:
        items = self._items
        self._reach.called = True
        if self._by_uuid.keys().isdisjoint(uuids):
            return []
        if context.shape[0] != len(uuids) * items and self._twins:
            raise ValueError(
                f"{self.node}: another node lays the batch out its own way ({context.shape[0]} rows for {len(uuids)} "
                f"prompts and {items} pictures), and two prompts are alike: give them different texts, or take the "
                "node out of this MODEL."
            )
        counts, guidance = self._reach.counts, self._reach.guidance
        parts = []
        for rows, prompt in find_rows(context, uuids, self._by_uuid, items):
            place = "guidance" if guidance else "main"
            parts.append(Part(rows, prompt, (place, counts[prompt, place])))
            counts[prompt, place] += 1
        return parts


def _check_layer(layer: Layer, expected: torch.Size, missed: set, attend: Callable, q, k, v, options) -> torch.Tensor:
    """``attend`` where queries and tokens are those that the UNet was called with; its layer is missed no more."""
    if (q.shape[0], k.shape[1]) != tuple(expected):
        raise ValueError(
            f"Another node rewrites the prompt inside cross-attention layer {layer} ({q.shape[0]} items of "
            f"{k.shape[1]} tokens, where {expected[0]} of {expected[1]} reach the UNet): StyO cannot tell the content "
            "tokens there. Take that node out of this MODEL."
        )
    missed.discard(layer)
    return attend(q, k, v, options)


def course_of(sampler, sigmas: torch.Tensor) -> Course:
    """How a run of ``sampler``, one of ComfyUI's SAMPLER objects, goes through ``sigmas``."""
    return Course(getattr(sampler, "sampler_function", type(sampler)).__name__, tuple(sigmas.tolist()))


def own_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict) -> torch.Tensor:
    """The attention call that ComfyUI's cross-attention layer itself makes, whichever backend is chosen."""
    return attention.optimized_attention(
        q, k, v, options["n_heads"], attn_precision=options["attn_precision"], transformer_options=options
    )


def cross_attention_layers(unet) -> list[Layer]:
    """Every cross-attention layer of a UNet, in the order it runs them."""
    blocks = [("input", i, block) for i, block in enumerate(unet.input_blocks)]
    blocks += [("middle", 0, unet.middle_block or ())]
    blocks += [("output", i, block) for i, block in enumerate(unet.output_blocks)]
    return [
        (name, number, index)
        for name, number, block in blocks
        for module in block
        if isinstance(module, SpatialTransformer)
        for index in range(len(module.transformer_blocks))
    ]
