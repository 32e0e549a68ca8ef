"""The inputs that a UNet reads of prompts, made by ComfyUI's own model as a sampler makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import comfy.samplers
import torch

INPUT_NAMES = {"c_crossattn": "context"}
"""Inputs that ComfyUI's model hands to its UNet under another name."""


@dataclasses.dataclass(frozen=True)
class TextEmbedding:
    """What text encoders make of a prompt: a row a token [1, 77 * chunks, channels], and one of the whole [1, C]."""

    tokens: torch.Tensor
    pooled: torch.Tensor


def unet_inputs(
    model, texts: Sequence[TextEmbedding], latent: torch.Tensor, device: torch.device
) -> dict[str, torch.Tensor]:
    """What the UNet of ``model`` reads of ``texts`` where it denoises a ``latent`` [1, 4, h, w], by name, a row each.

    Open to gradients. Token rows of unequal number are repeated to one, which changes no attention.
    """
    conditionings = [{"cross_attn": text.tokens, "pooled_output": text.pooled, "model_conds": {}} for text in texts]
    extra_conds = model.model.extra_conds
    encoded = comfy.samplers.encode_model_conds(extra_conds, conditionings, latent, device, "positive")
    first, *others = (conditioning["model_conds"] for conditioning in encoded)
    return {
        INPUT_NAMES.get(name, name): cond.concat([other[name] for other in others]).to(device)
        for name, cond in first.items()
    }
