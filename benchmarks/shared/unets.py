"""The UNets of the families, by ComfyUI's description of each, in their real sizes."""

from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Unet:
    """A UNet: the pixels a side of its own pictures, the depths of its transformers, its text and extra channels."""

    name: str
    resolution: int
    depths: tuple[int, ...]
    middle: int
    output_depths: tuple[int, ...]
    context: int
    y: int | None = None
    precision: torch.dtype | None = None

    def unet_config(self) -> dict:
        """ComfyUI's description of it."""
        levels = [1, 2, 4] if self.y else [1, 2, 4, 4]
        return {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 320,
            "channel_mult": levels,
            "num_res_blocks": [len(self.depths) // len(levels)] * len(levels),
            "transformer_depth": list(self.depths),
            "transformer_depth_output": list(self.output_depths),
            "transformer_depth_middle": self.middle,
            "context_dim": self.context,
            "num_head_channels": 64,
            "attn_precision": self.precision,
            "use_spatial_transformer": True,
            "legacy": False,
            "use_linear_in_transformer": True,
            "num_classes": "sequential" if self.y else None,
            "adm_in_channels": self.y,
            "use_checkpoint": False,
            "use_temporal_resblock": False,
            "use_temporal_attention": False,
        }


SDXL = Unet("SDXL", 1024, (0, 0, 2, 2, 10, 10), 10, (0, 0, 0, 2, 2, 2, 10, 10, 10), 2048, 2816)
SSD_1B = Unet("SSD-1B", 1024, (0, 0, 2, 2, 4, 4), -1, (0, 0, 0, 1, 1, 2, 10, 4, 4), 2048, 2816)
VEGA = Unet("Segmind Vega", 1024, (0, 0, 1, 1, 2, 2), -1, (0, 0, 0, 1, 1, 1, 2, 2, 2), 2048, 2816)
SD2 = Unet("SD 2.x (v)", 768, (1, 1, 1, 1, 1, 1, 0, 0), 1, (1,) * 9 + (0,) * 3, 1024, precision=torch.float32)
