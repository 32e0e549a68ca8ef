"""A private copy of a MODEL's UNet, made of plain torch layers and free of everything ComfyUI attaches to it."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Mapping

import torch
from comfy.ldm.modules.attention import SpatialTransformer, attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel

from ..training.low_rank import add_low_rank, is_matrix
from .model_kind import training_sampling
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


def fill(module: torch.nn.Module, weights: PatchedWeights, prefix: str, dtypes: Mapping[str, torch.dtype]):
    """Give ``module``, built on the meta device, the weights whose keys are ``prefix`` and its own.

    Each is turned into its type of ``dtypes`` before the next is read, so that they are never all in float32.
    """
    filled = {name: weights[prefix + name].to(dtypes.get(name, torch.float32)) for name in module.state_dict()}
    module.load_state_dict(filled, assign=True)
    module.requires_grad_(False)


def copy_unet(model, method: str = "full", dtype: torch.dtype = torch.float32) -> UNetModel:
    """The UNet of ``model`` with its patches applied, on the CPU, nothing trainable.

    Matrices that ``method`` leaves as they are come in the ``dtype`` that autocast computes them in; what is trained,
    and normalisation, in float32.
    """
    config = {**model.model.model_config.unet_config, "dtype": torch.float32}
    unet = UNetModel(**config, device="meta", operations=PlainLayers)
    frozen = dict.fromkeys(frozen_matrices(unet, method), dtype)
    fill(unet, PatchedWeights(model, UNET), UNET, frozen)
    return unet.eval()


def frozen_matrices(unet: UNetModel, method: str) -> list[str]:
    """The names of all parameters of matrices and convolutions that ``method`` leaves as they are."""
    return [
        f"{path}.{name}"
        for path, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        for name, _ in module.named_parameters(recurse=False)
        if not _is_trained(f"{path}.{name}", method)
    ]


def _is_trained(name: str, method: str) -> bool:
    """Whether ``method`` trains the parameter of this name, which may be one of a low-rank change."""
    return method == "full" or (method == "cross_attention" and CROSS_ATTENTION in name) or ".lora_" in name


def select_trainable(
    unet: UNetModel, method: str, rank: int, generator: torch.Generator
) -> dict[str, dict[str, torch.nn.Parameter]]:
    """Make trainable what ``method`` trains; returns it by part of the UNet, then by its name in a weights file."""
    if method == "lora":
        add_low_rank(unet, _transformer_matrices(unet), rank, generator)
    groups: dict[str, dict[str, torch.nn.Parameter]] = {}
    for name, parameter in unet.named_parameters():
        if _is_trained(name, method):
            groups.setdefault(_part(name), {})[UNET + name] = parameter.requires_grad_(True)
    return groups


def _transformer_matrices(unet: UNetModel) -> list[str]:
    return [
        f"{path}.{name}"
        for path, transformer in unet.named_modules()
        if isinstance(transformer, SpatialTransformer)
        for name, module in transformer.named_modules()
        if is_matrix(module)
    ]


def _part(name: str) -> str:
    """The part of the UNet that a parameter belongs to, whose gradients exist at the same time.

    It is a top-level block, `input_blocks.3`, `middle_block`, ..., or one of the transformer blocks after the first of
    a deep transformer; all else is one part.
    """
    if deeper := re.match(r".*\.transformer_blocks\.[1-9]\d*(?=\.)", name):
        return deeper[0]
    parts = name.split(".")
    if parts[0] in ("input_blocks", "output_blocks"):
        return ".".join(parts[:2])
    return parts[0] if parts[0] == "middle_block" else "embedding_and_output"


def checkpoint_blocks(unet: UNetModel):
    """Compute each block again in the backward pass instead of keeping its inside.

    A block is a ResBlock, a SpatialTransformer of one layer, or each layer of a deeper one.
    """
    for module in unet.modules():
        if isinstance(module, SpatialTransformer):
            deep = len(module.transformer_blocks) > 1
            blocks = list(module.transformer_blocks) if deep else [module]
        else:
            blocks = [module] if isinstance(module, ResBlock) else []
        for block in blocks:
            block.forward = functools.partial(
                torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
            )


def noise_weights(model) -> torch.Tensor:
    """What z_t and the UNet's output weigh in eps_theta, [2, T] by timestep; raises ValueError as `training_sampling`.

    z_t and the clean latent that ``model`` denoises it to make up eps, and both are linear in the UNet's output: the
    weights are 0 and 1 for one that predicts eps, sqrt(1 - abar) and sqrt(abar) for v (arXiv 2202.00512).
    """
    sampling = training_sampling(model)
    with torch.inference_mode(False):
        sigma = sampling.sigmas.cpu().double()
        one = torch.ones((len(sigma), 1, 1, 1), dtype=torch.float64)
        of_x = (1 - sampling.calculate_denoised(sigma, 0 * one, one).flatten()) / sigma
        of_output = -sampling.calculate_denoised(sigma, one, 0 * one).flatten() / sigma
        return torch.stack([of_x * (sigma**2 + 1) ** 0.5, of_output]).float()


def eps_theta(
    unet: UNetModel, weights: torch.Tensor, dtype: torch.dtype
) -> Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]:
    """The noise prediction eps_theta(z_t, t, c) in float32, computed in ``dtype`` under autocast; c by input name.

    ``weights`` are those of `noise_weights`, on the device of ``unet``.
    """

    def predict(z_t: torch.Tensor, t: torch.Tensor, condition: dict[str, torch.Tensor]) -> torch.Tensor:
        with autocast(z_t.device, dtype):
            options = {"optimized_attention_override": _torch_attention}
            output = unet(z_t, t.float(), **condition, transformer_options=options)
        of_z, of_output = weights[:, t].view(2, -1, 1, 1, 1)
        return of_z * z_t + of_output * output.float()

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
    """The sigma [T] of every training timestep; raises ValueError as `training_sampling` does."""
    sampling = training_sampling(model)
    with torch.inference_mode(False):
        return sampling.sigmas.to("cpu", copy=True)
