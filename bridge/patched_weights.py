"""Reading the weights of a MODEL, CLIP or VAE the way ComfyUI would use them."""

from __future__ import annotations

from collections.abc import Iterator

import comfy.lora
import torch
from comfy.quant_ops import QuantizedTensor


class PatchedWeights:
    """The weights of a ModelPatcher below ``prefix`` with its patches (a user's LoRA) applied.

    Each is read anew as a plain float32 tensor on the CPU, stored as it may be: half, quantised, an inference tensor.
    """

    def __init__(self, patcher, prefix: str = ""):
        self._entries = patcher.get_key_patches(prefix)

    def __getitem__(self, key: str) -> torch.Tensor:
        (weight, convert), *patches = self._entries[key]
        with torch.inference_mode(False), torch.no_grad():
            if isinstance(weight, QuantizedTensor):
                weight = weight.dequantize()
            weight = torch.empty(weight.shape, dtype=torch.float32).copy_(weight)
            return comfy.lora.calculate_weight(patches, convert(weight, inplace=True), key)

    def items(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every key with its weight, read one at a time."""
        return ((key, self[key]) for key in self._entries)
