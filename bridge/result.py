"""What a training ends in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import comfy.sd
import torch

from ..training import safetensors_file, weights


@dataclasses.dataclass(frozen=True)
class Result:
    """A training's weights as they are in its file, the file's metadata, and each term of equation 4 at every step."""

    weights: dict[str, torch.Tensor]
    metadata: dict[str, str]
    terms: dict[str, list[float]]

    @classmethod
    def read(cls, path: Path) -> Result:
        """That of a finished training's file; without terms where the file has none."""
        tensors, metadata = safetensors_file.read(path)
        return cls(tensors, metadata, weights.read_training(metadata)["terms"])

    def loss_map(self) -> dict[str, list[float]]:
        """The LOSS_MAP of every step: equation 4 as `loss`, and its terms by their names."""
        return {"loss": weights.read_training(self.metadata)["losses"], **self.terms}

    def applied_to(self, model, clip) -> tuple:
        """Clones of MODEL and CLIP with the weights applied by the function that ComfyUI's LoRA loader uses."""
        return comfy.sd.load_lora_for_models(model, clip, self.weights, 1.0, 1.0, lora_metadata=self.metadata)
