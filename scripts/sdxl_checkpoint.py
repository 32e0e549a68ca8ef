"""A checkpoint in SDXL's format, for ComfyUI's stock loader: a small UNet, all else in full size, random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from sd15_checkpoint import SEED, random_weights

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "channel_mult": [1, 1, 1],
    "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 2048,
    "num_head_channels": 64,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "legacy": False,
}
"""As narrow as ComfyUI still takes for SDXL: its depths on the way in, its text and size channels, 160 M weights."""

VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def write(path: Path):
    """Write the checkpoint in half precision, 2.1 GB."""
    import comfy.ops
    import comfy.sdxl_clip
    import comfy.supported_models
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    generator = torch.Generator().manual_seed(SEED)
    plain = comfy.ops.disable_weight_init
    config = comfy.supported_models.SDXL({})
    options = {"custom_operations": plain}
    text = comfy.sdxl_clip.SDXLClipModel(device="meta", dtype=torch.float16, model_options=options)
    parts = {
        "model.diffusion_model.": _half(UNetModel(**UNET, device="meta", operations=plain), generator),
        "": config.process_clip_state_dict_for_saving(_half(text, generator)),
        "first_stage_model.": _half(AutoencoderKL(ddconfig=VAE, embed_dim=4), generator),
    }
    save_file(
        {prefix + name: weight.contiguous() for prefix, part in parts.items() for name, weight in part.items()}, path
    )


def _half(module: torch.nn.Module, generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {name: weight.half() for name, weight in random_weights(module, generator).items()}
