"""Stable Diffusion 1.5 with random weights, real shape or mini, as ComfyUI's MODEL, CLIP and VAE; no file is read."""

from __future__ import annotations

import dataclasses

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from styo.bridge.prompt_encoding import encode_prompts
from styo.training.prompts import Prompts

CONTEXT = 768
TOKENS = 77


@dataclasses.dataclass(frozen=True)
class Shape:
    """The size of the models: levels and channels of UNet and VAE, and layers of the text encoder."""

    name: str
    channel_mult: tuple[int, ...]
    res_blocks: int
    attention_levels: int
    clip_layers: int
    vae_channels: int
    vae_mult: tuple[int, ...]
    channels: int = 320

    def unet_config(self) -> dict:
        """ComfyUI's description of the UNet."""
        levels = range(len(self.channel_mult))
        depths = [int(level < self.attention_levels) for level in levels]
        return {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": self.channels,
            "channel_mult": list(self.channel_mult),
            "num_res_blocks": [self.res_blocks] * len(levels),
            "transformer_depth": [depth for depth in depths for _ in range(self.res_blocks)],
            "transformer_depth_output": [depth for depth in depths for _ in range(self.res_blocks + 1)],
            "transformer_depth_middle": 1,
            "context_dim": CONTEXT,
            "num_heads": 8,
            "use_spatial_transformer": True,
            "legacy": False,
            "use_linear_in_transformer": False,
            "adm_in_channels": None,
            "use_checkpoint": False,
            "use_temporal_resblock": False,
            "use_temporal_attention": False,
        }


REAL = Shape("SD1.5", (1, 2, 4, 4), 2, 3, 12, 128, (1, 2, 4, 4))
MINI = Shape("320-channel mini", (1, 1), 1, 2, 1, 32, (1, 1, 1, 1))
TOY = Shape("32-channel toy", (1, 1), 1, 2, 1, 32, (1, 1, 1, 1), channels=32)


def randomize(module: torch.nn.Module, seed: int = 0):
    """Random weights that keep the size of activations: matrices by fan-in, gains near 1, offsets near 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.data.copy_(noise * parameter[0].numel() ** -0.5)
        else:
            parameter.data.copy_(noise * 0.02 + (not name.endswith("bias")))


def make_model(shape: Shape, dtype: torch.dtype):
    """A MODEL that predicts noise."""
    config = comfy.supported_models.SD15(shape.unet_config())
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    randomize(model.diffusion_model)
    return comfy.model_patcher.CoreModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def make_clip(shape: Shape, width: int = CONTEXT):
    """A CLIP with SD1.x's tokenizer and ``width`` channels."""

    class Target:
        params = {}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = comfy.sd1_clip.SD1Tokenizer

    layers = {
        "num_hidden_layers": shape.clip_layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
        "projection_dim": width,
    }
    options = {"clip_l_model_config": layers, "dtype": torch.float32}
    clip = comfy.sd.CLIP(Target, tokenizer_data={}, model_options=options)
    randomize(clip.cond_stage_model)
    return clip


def make_vae(shape: Shape):
    """A KL VAE with 8 x 8 pixels to a latent position."""
    description = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": shape.vae_channels,
        "ch_mult": list(shape.vae_mult),
        "num_res_blocks": 2 if shape is REAL else 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    module = AutoencoderKL(ddconfig=description, embed_dim=4)
    randomize(module)
    return comfy.sd.VAE(sd=module.state_dict(), config={"params": {"ddconfig": description, "embed_dim": 4}})


@dataclasses.dataclass(frozen=True)
class Conditionings:
    """The CONDITIONING of a comparison: random embeddings, with the content tokens of StyO's own prompts."""

    source: list
    stylized: list
    negative: list
    columns: tuple[int, ...]


def conditionings(content_repeats: int = 1) -> Conditionings:
    """The source and stylized prompts of n_c = ``content_repeats``, and a negative one of one chunk."""
    source, _, _, stylized = encode_prompts(make_clip(MINI, width=64), Prompts(content_repeats=content_repeats))
    generator = torch.Generator().manual_seed(1)
    tokens = source[0][0].shape[1]

    def random(length: int) -> torch.Tensor:
        return torch.randn((1, length, CONTEXT), generator=generator)

    content = source[0][1]["styo_content"]
    if stylized[0][1]["styo_content"] != content:
        raise ValueError("The peers take the columns of both prompts at the same positions.")
    return Conditionings(
        [[random(tokens), source[0][1]]], [[random(tokens), stylized[0][1]]], [[random(TOKENS), {}]], content.positions
    )
