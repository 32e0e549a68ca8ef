"""The same UNet in diffusers: its description and weights, taken over from ComfyUI's."""

from __future__ import annotations

import comfy.utils
import torch
from diffusers import UNet2DConditionModel


def empty_unet(config: dict, device: str) -> UNet2DConditionModel:
    """A diffusers UNet of the shape that ``config``, ComfyUI's description, has."""
    per_level = config["num_res_blocks"][0]
    attention = [bool(depth) for depth in config["transformer_depth"][::per_level]]
    with torch.device(device):
        return UNet2DConditionModel(
            in_channels=config["in_channels"],
            out_channels=config["out_channels"],
            block_out_channels=[config["model_channels"] * factor for factor in config["channel_mult"]],
            layers_per_block=per_level,
            down_block_types=["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention],
            up_block_types=["CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)],
            cross_attention_dim=config["context_dim"],
            attention_head_dim=config["num_heads"],
        )


def to_diffusers(unet: torch.nn.Module, config: dict) -> UNet2DConditionModel:
    """A diffusers UNet with all weights of ComfyUI's ``unet``, which ``config`` describes."""
    peer = empty_unet(config, "meta")
    weights = unet.state_dict()
    names = comfy.utils.unet_to_diffusers(config)
    taken = {name: weights[names[name]] for name in peer.state_dict()}
    if len(taken) != len(weights):
        raise ValueError(f"{len(weights) - len(taken)} weights of the UNet have no place in diffusers' one.")
    peer.load_state_dict({name: weight.clone() for name, weight in taken.items()}, assign=True)
    return peer.eval().requires_grad_(False)
