"""What a training ends in."""

from __future__ import annotations

import dataclasses

import comfy.sd
import torch

from ..training import weights


@dataclasses.dataclass(frozen=True)
class Result:
    """A training's weights as they are in its file, and the file's metadata."""

    weights: dict[str, torch.Tensor]
    metadata: dict[str, str]

    @property
    def losses(self) -> list[float]:
        """The loss of every step."""
        return weights.read_training(self.metadata)["losses"]

    def applied_to(self, model, clip) -> tuple:
        """Clones of MODEL and CLIP with the weights applied by the function that ComfyUI's LoRA loader uses."""
        return comfy.sd.load_lora_for_models(model, clip, self.weights, 1.0, 1.0, lora_metadata=self.metadata)
