"""A checkpoint in Stable Diffusion 1.5's format, for ComfyUI's stock loader: a small UNet, random weights."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

NAME = "v1-5-pruned-emaonly-fp16.safetensors"
"""The checkpoint of ComfyUI's own SD1.5 templates, and of the shipped workflow."""

SEED = 0
LATENT_SCALE = 0.18215
RANDOM_SHARE = 0.1
BLUR = 0.15

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "channel_mult": [1, 1],
    "num_res_blocks": [1, 1],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "num_heads": 8,
    "use_spatial_transformer": True,
}
"""The smallest UNet with two levels that ComfyUI takes for SD1.5: 44 M weights, 7 cross-attention layers."""


def cached(folder: Path) -> Path:
    """The checkpoint under ``folder``, made first if this version of it is not there; its folder holds nothing else."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    path = folder / f"random-sd15-{version}" / NAME
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file(weights(), partial)
        os.replace(partial, path)
    return path


def weights() -> dict[str, torch.Tensor]:
    """All weights of the checkpoint in half precision: UNet, text encoder and VAE."""
    generator = torch.Generator().manual_seed(SEED)
    parts = {
        "model.diffusion_model.": _unet(generator),
        "cond_stage_model.transformer.": _text_encoder(generator),
        "first_stage_model.": linear_vae(),
    }
    return {prefix + name: w.half().contiguous() for prefix, part in parts.items() for name, w in part.items()}


def random_weights(module: torch.nn.Module, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random weights for a module that keep the size of its activations: matrices by fan-in, gains 1, offsets 0."""
    state = {}
    for name, old in module.state_dict().items():
        if old.ndim > 1:
            state[name] = torch.randn(old.shape, generator=generator) * old[0].numel() ** -0.5
        else:
            state[name] = torch.full(old.shape, 0.0 if name.endswith("bias") else 1.0)
    return state


def _unet(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A UNet whose estimate of the noise is its input, sharpened, plus what its random layers make of picture and text.

    The input runs through the first and the last skip connection as pairs of opposite channels, which the last SiLU
    leaves whole: SiLU(a) - SiLU(-a) = a. Sampling such a model gives clouds of colour instead of saturated noise.
    """
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    state = random_weights(UNetModel(**UNET, operations=comfy.ops.disable_weight_init), generator)
    channels = torch.arange(UNET["model_channels"])
    latent, sign = channels // 2 % 4, 1.0 - 2.0 * (channels % 2)
    entry, skip, exit_ = "input_blocks.0.0.weight", "output_blocks.3.0.skip_connection.weight", "out.2.weight"
    state[entry].zero_()
    state[entry][channels, latent, 1, 1] = sign
    state[skip] *= RANDOM_SHARE
    state[skip][channels, len(channels) + channels, 0, 0] += 1
    for name in state:
        if name.endswith(("out_layers.3.weight", "proj_out.weight")):
            state[name] *= RANDOM_SHARE
    sharp = torch.full((3, 3), -BLUR / 9)
    sharp[1, 1] += 1
    state[exit_] *= RANDOM_SHARE
    state[exit_][latent, channels] += sharp * sign[:, None, None] * 8 / len(channels)
    return state


def _text_encoder(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """CLIP-L's text encoder with random weights."""
    import comfy.ops
    import comfy.sd1_clip
    from comfy.clip_model import CLIPTextModel

    config = json.loads(Path(comfy.sd1_clip.__file__).with_name("sd1_clip_config.json").read_text("utf-8"))
    state = random_weights(CLIPTextModel(config, torch.float32, "cpu", comfy.ops.disable_weight_init), generator)
    del state["text_projection.weight"]
    return state


def linear_vae() -> dict[str, torch.Tensor]:
    """A TAESD whose latent is the picture itself at an eighth of its size: three channels of colour and an empty one.

    Its residual blocks do nothing; the encoder's strided convolutions average, the decoder's smooth what was repeated.
    The decoder holds a colour as a pair of opposite channels, as its ReLUs keep only what is positive.
    """
    from comfy.taesd.taesd import TAESD

    state = {name: torch.zeros_like(w) for name, w in TAESD().state_dict().items()}
    stay, average, smooth = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.25, 0.5, 0.25]])
    red_green_blue = torch.eye(3, 4)
    signed = torch.cat([red_green_blue, -red_green_blue])
    layers = {
        "taesd_encoder.0": (red_green_blue[:, :3], stay),
        **{f"taesd_encoder.{i}": (red_green_blue[:, :3], average) for i in (2, 6, 10)},
        "taesd_encoder.14": (2 * red_green_blue.T, stay),
        "taesd_decoder.1": (signed / 2, stay),
        **{f"taesd_decoder.{i}": (torch.eye(6), smooth) for i in (7, 12, 17)},
        "taesd_decoder.19": (signed.T[:3], stay),
    }
    for name, (mix, kernel) in layers.items():
        rows, columns = mix.shape
        state[f"{name}.weight"][:rows, :columns] = mix[:, :, None, None] * torch.outer(kernel, kernel)
    state["taesd_encoder.14.bias"][:3] = -1
    state["taesd_decoder.19.bias"][:] = 0.5
    state["vae_scale"] = torch.tensor(0.5 * LATENT_SCALE)  # photographs then have about unit spread in SD1.5's latents
    return state
