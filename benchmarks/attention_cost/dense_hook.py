"""The obvious hook in ComfyUI: every cross-attention map is formed, kept whole, and overwritten by index."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from comfy.ldm.modules.attention import SpatialTransformer

Maps = dict[tuple, torch.Tensor]
"""Conditional maps [B, heads, N, T] by (layer, sigma)."""


def keep(model, maps: Maps):
    """A clone of ``model`` that keeps its maps in ``maps``."""

    def see(layer, conditional: torch.Tensor, sigma: float):
        maps[layer, sigma] = conditional.clone()

    return _hooked(model, see)


def replace(model, maps: Maps, columns: Sequence[int]):
    """A clone of ``model`` that takes ``columns`` of its maps from ``maps``."""
    columns = list(columns)

    def see(layer, conditional: torch.Tensor, sigma: float):
        conditional[..., columns] = maps[layer, sigma][..., columns]

    return _hooked(model, see)


def _hooked(model, see):
    model = model.clone()
    for layer in _layers(model.model.diffusion_model):
        model.set_model_attn2_replace(functools.partial(_attend, see, layer), *layer)
    return model


def _attend(see, layer, q, k, v, options):
    heads = options["n_heads"]
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    maps = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    chunks = maps.chunk(len(options["cond_or_uncond"]))
    for chunk, kind in zip(chunks, options["cond_or_uncond"], strict=True):
        if kind == 0:
            see(layer, chunk, float(options["sigmas"][0]))
    return (maps @ v).transpose(1, 2).flatten(-2)


def _layers(unet) -> list[tuple[str, int]]:
    blocks = {"input": unet.input_blocks, "middle": [unet.middle_block], "output": unet.output_blocks}
    return [
        (name, number)
        for name, numbered in blocks.items()
        for number, block in enumerate(numbered)
        if any(isinstance(module, SpatialTransformer) for module in block)
    ]
