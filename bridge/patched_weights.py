"""Reading the weights of a MODEL, CLIP or VAE the way ComfyUI would use them."""

from __future__ import annotations

from collections.abc import Iterator

import comfy.lora
import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import get_key_weight

PLAIN = (torch.Tensor, torch.nn.Parameter)


def put_at_rest(patcher):
    """Take off the network of ``patcher`` what another of its clones, which ran last, has put on it."""
    loaded = (entry.model for entry in comfy.model_management.current_loaded_models)
    if any(other is not None and other is not patcher and patcher.is_clone(other) for other in loaded):
        comfy.model_management.unload_model_and_clones(patcher, all_devices=True)


class PatchedWeights:
    """The weights of a ModelPatcher below ``prefix`` with its patches (a user's LoRA) applied.

    Each is read anew as a plain float32 tensor on the CPU, stored as it may be: half, in fp8 with a scale, an inference
    tensor. Raises ValueError for weights that ComfyUI itself could not read, such as those of GGUF files.
    """

    def __init__(self, patcher, prefix: str = ""):
        self._patcher = patcher
        stored = dict(patcher.model.named_parameters(remove_duplicate=False))
        stored |= dict(patcher.model.named_buffers(remove_duplicate=False))
        self._keys = [key for key in patcher.model.state_dict() if key.startswith(prefix) and key in stored]

    def __getitem__(self, key: str) -> torch.Tensor:
        patcher = self._patcher
        weight, _, dequantize = get_key_weight(patcher.model, key)
        if key in patcher.backup:
            weight = patcher.backup[key].weight
        if key in patcher.hook_backup:
            weight, _ = patcher.hook_backup[key]
        with torch.inference_mode(False), torch.no_grad():
            plain = dequantize(weight) if dequantize else weight
            self._require_readable(key, plain)
            plain = torch.empty(plain.shape, dtype=torch.float32).copy_(plain)
            return comfy.lora.calculate_weight(patcher.patches.get(key, []), plain, key)

    def items(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every key with its weight, read one at a time."""
        return ((key, self[key]) for key in self._keys)

    def _require_readable(self, key: str, weight: torch.Tensor):
        layer = comfy.utils.get_attr(self._patcher.model, key.rpartition(".")[0]) if "." in key else None
        if type(weight) not in PLAIN or getattr(layer, "pre_quant_scale", None) is not None:
            socket = "clip" if self._patcher.is_clip else "model"
            raise ValueError(
                f"`{socket}` holds weights that only its loader can read ({type(weight).__name__}): connect the model "
                "in fp16, bf16, fp32 or fp8 to train on it."
            )
