"""Whether two MODELs have the same weights."""

from __future__ import annotations

import hashlib

from .patched_weights import PatchedWeights


def identify_weights(model) -> str:
    """A digest of the keys' projection in the first cross-attention layer of a MODEL, with its patches.

    Every checkpoint, every training of the pack and every usual LoRA has its own there; reloading changes nothing.
    """
    modules = model.model.diffusion_model.named_modules()
    layer = next(name for name, _ in modules if name.endswith("attn2"))
    key = f"diffusion_model.{layer}.to_k.weight"
    return hashlib.sha256(PatchedWeights(model, key)[key].numpy().tobytes()).hexdigest()
