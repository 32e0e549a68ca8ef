"""Stable Diffusion XL's UNet with random weights, real shape or toy, as ComfyUI's MODEL; no file is read."""

from __future__ import annotations

import dataclasses

import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch

from .sd15 import randomize


@dataclasses.dataclass(frozen=True)
class Shape:
    """The size of the UNet, and of what it reads: text embeddings and the vector of pooled text and sizes."""

    name: str
    model_channels: int
    head_channels: int
    depths: tuple[int, ...]
    context: int
    pooled: int

    @property
    def vector(self) -> int:
        """Channels of the pooled text with six sizes of 256 channels each."""
        return self.pooled + 6 * 256

    def unet_config(self) -> dict:
        """ComfyUI's description of the UNet."""
        return {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": self.model_channels,
            "channel_mult": [1, 2, 4][: len(self.depths)],
            "num_res_blocks": [2] * len(self.depths),
            "transformer_depth": [depth for depth in self.depths for _ in range(2)],
            "transformer_depth_output": [depth for depth in self.depths for _ in range(3)],
            "transformer_depth_middle": self.depths[-1],
            "context_dim": self.context,
            "num_head_channels": self.head_channels,
            "use_spatial_transformer": True,
            "legacy": False,
            "use_linear_in_transformer": True,
            "num_classes": "sequential",
            "adm_in_channels": self.vector,
            "use_checkpoint": False,
            "use_temporal_resblock": False,
            "use_temporal_attention": False,
        }


REAL = Shape("SDXL", 320, 64, (0, 2, 10), 2048, 1280)
TOY = Shape("toy SDXL", 32, 16, (0, 2), 64, 80)


def make_model(shape: Shape, dtype: torch.dtype):
    """A MODEL that predicts noise."""
    config = comfy.supported_models.SDXL(shape.unet_config())
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    randomize(model.diffusion_model)
    return comfy.model_patcher.CoreModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
