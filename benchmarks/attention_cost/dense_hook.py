"""The obvious hook in ComfyUI: every cross-attention map is formed, kept whole, and overwritten by index."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

BLOCKS = tuple(itertools.product(("input", "middle", "output"), range(12)))
"""Places where a UNet may have cross attention."""


def hooked(model, see: Callable[[tuple, torch.Tensor], None]):
    """A clone of ``model`` that shows ``see`` every conditional map [B, heads, N, T], which it may change.

    With a map comes what it is found by again: its layer, and the noise level.
    """

    def attend(q, k, v, options):
        q, k, v = (x.unflatten(-1, (options["n_heads"], -1)).transpose(1, 2) for x in (q, k, v))
        maps = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
        kinds = options["cond_or_uncond"]
        for chunk, kind in zip(maps.chunk(len(kinds)), kinds, strict=True):
            if kind == 0:
                see((options["block"], float(options["sigmas"][0])), chunk)
        return (maps @ v).transpose(1, 2).flatten(-2)

    model = model.clone()
    for block in BLOCKS:
        model.set_model_attn2_replace(attend, *block)
    return model
