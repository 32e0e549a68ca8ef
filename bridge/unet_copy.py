"""A private copy of a MODEL's UNet, made of plain torch layers and free of everything ComfyUI attaches to it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

import comfy.model_sampling
import torch
from comfy.ldm.modules.attention import SpatialTransformer, attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel

from ..training.low_rank import add_low_rank, is_matrix
from .patched_weights import PatchedWeights

UNET = "diffusion_model."
CROSS_ATTENTION = ".attn2."


class PlainLayers:
    """Torch's own layers where ComfyUI puts its casting ones, which raise in the midst of a backward pass on Cancel."""

    Linear = torch.nn.Linear
    Conv2d = torch.nn.Conv2d
    GroupNorm = torch.nn.GroupNorm
    LayerNorm = torch.nn.LayerNorm

    @staticmethod
    def conv_nd(dims: int, *args, **kwargs) -> torch.nn.Conv2d:
        return torch.nn.Conv2d(*args, **kwargs)


def fill(module: torch.nn.Module, weights: PatchedWeights, prefix: str):
    """Give ``module``, built on the meta device, the weights whose keys are ``prefix`` and its own."""
    module.load_state_dict({name: weights[prefix + name] for name in module.state_dict()}, assign=True)
    module.requires_grad_(False)


def copy_unet(model) -> UNetModel:
    """The UNet of ``model`` with its patches applied, in float32 on the CPU, nothing trainable."""
    config = {**model.model.model_config.unet_config, "dtype": torch.float32}
    unet = UNetModel(**config, device="meta", operations=PlainLayers)
    fill(unet, PatchedWeights(model, UNET), UNET)
    return unet.eval()


def select_trainable(
    unet: UNetModel, method: str, rank: int, generator: torch.Generator
) -> dict[str, dict[str, torch.nn.Parameter]]:
    """Make trainable what ``method`` trains; returns it by top-level block, then by its name in a weights file."""
    if method == "lora":
        add_low_rank(unet, _transformer_matrices(unet), rank, generator)
    groups: dict[str, dict[str, torch.nn.Parameter]] = {}
    for name, parameter in unet.named_parameters():
        if method == "full" or (method == "cross_attention" and CROSS_ATTENTION in name) or ".lora_" in name:
            groups.setdefault(_block(name), {})[UNET + name] = parameter.requires_grad_(True)
    return groups


def _transformer_matrices(unet: UNetModel) -> list[str]:
    return [
        f"{path}.{name}"
        for path, transformer in unet.named_modules()
        if isinstance(transformer, SpatialTransformer)
        for name, module in transformer.named_modules()
        if is_matrix(module)
    ]


def _block(name: str) -> str:
    """The top-level block of a parameter: `input_blocks.3`, `middle_block`, ...; all outside of them is one group."""
    parts = name.split(".")
    if parts[0] in ("input_blocks", "output_blocks"):
        return ".".join(parts[:2])
    return parts[0] if parts[0] == "middle_block" else "embedding_and_output"


def store_frozen_layers_as(unet: UNetModel, dtype: torch.dtype):
    """Keep frozen matrices in the ``dtype`` that autocast computes them in; normalisation stays in float32."""
    for module in unet.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)


def checkpoint_blocks(unet: UNetModel):
    """Compute each ResBlock and SpatialTransformer again in the backward pass instead of keeping its inside."""
    for module in unet.modules():
        if isinstance(module, ResBlock | SpatialTransformer):
            module.forward = functools.partial(
                torch.utils.checkpoint.checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False
            )


def eps_theta(
    unet: UNetModel, dtype: torch.dtype
) -> Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]:
    """The noise prediction eps_theta(z_t, t, c) in float32, computed in ``dtype`` under autocast; c by input name."""

    def predict(z_t: torch.Tensor, t: torch.Tensor, condition: dict[str, torch.Tensor]) -> torch.Tensor:
        with autocast(z_t.device, dtype):
            options = {"optimized_attention_override": _torch_attention}
            return unet(z_t, t.float(), **condition, transformer_options=options).float()

    return predict


def _torch_attention(_, *args, **kwargs) -> torch.Tensor:
    """Torch's attention instead of the kernel ComfyUI chose, which may have no backward pass."""
    return attention_pytorch(*args, **kwargs)


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager:
    """Compute in ``dtype``; each weight is used once, so caching its cast copy would only keep it in memory."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype, cache_enabled=False)


def training_sigmas(model) -> torch.Tensor:
    """The sigma [T] of every training timestep; raises ValueError for a model patched to predict other than noise."""
    sampling = model.get_model_object("model_sampling")
    if type(sampling).calculate_denoised is not comfy.model_sampling.EPS.calculate_denoised:
        raise ValueError("StyO IDL Train needs a model that predicts noise: take the Model Sampling node off `model`.")
    with torch.inference_mode(False):
        return sampling.sigmas.to("cpu", copy=True)


def name_of(model) -> str:
    """The file name of the checkpoint that ``model`` comes from, or what kind of model it is."""
    arguments = model.cached_patcher_init[1] if model.cached_patcher_init else ()
    names = [Path(argument).name for argument in arguments if isinstance(argument, str)]
    return names[0] if names else type(model.model.model_config).__name__
