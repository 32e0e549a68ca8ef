"""The memory of one training step of a UNet in its real size, counted without data: nothing of it is measured.

The code that trains runs as it is; torch's fake tensors tell the size of everything it makes. Autocast follows the
CPU's rules, and what a kernel needs only within itself is not seen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from unittest import mock

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from shared import sd15
from shared.measure import LiveBytes
from shared.unets import Unet
from styo.bridge import unet_copy
from styo.training.data import Draw
from styo.training.losses import triple_reconstruction_loss
from styo.training.optimizer import BackwardOptimizer
from torch._subclasses.fake_tensor import FakeTensorMode

STEPS = 2
"""Steps to count: the moments of Adam are there from the first one's end."""


def _without_data(count: Callable) -> Callable:
    """Let ``count`` run on tensors without data: a number that the host reads is 1, and every gradient is finite."""

    @functools.wraps(count)
    def counted(*args, **kwargs):
        finite = mock.patch.object(torch.amp.GradScaler, "_maybe_opt_step", lambda _, optimizer, *__: optimizer.step())
        with FakeTensorMode(), finite, mock.patch.object(torch.Tensor, "item", lambda _: 1.0):
            return count(*args, **kwargs)

    return counted


@_without_data
def ours(
    method: str,
    dtype: torch.dtype,
    checkpointing: bool,
    shape: sd15.Shape | Unet = sd15.REAL,
    side: int = 64,
    kind: str = "adam",
) -> int:
    """Peak bytes of the pack's training."""
    with LiveBytes() as live:
        config = shape.unet_config()
        unet = UNetModel(**config, dtype=torch.float32, operations=unet_copy.PlainLayers)
        unet.requires_grad_(False).eval()
        for name in unet_copy.frozen_matrices(unet, method):
            parameter = unet.get_parameter(name)
            parameter.data = parameter.data.to(dtype)
        groups = unet_copy.select_trainable(unet, method, 16, torch.Generator())
        if checkpointing:
            unet_copy.checkpoint_blocks(unet)
        live.peak = live.now
        optimizer = BackwardOptimizer(groups, 1e-6, scale_loss=False, kind=kind)
        eps_theta = unet_copy.eps_theta(unet, torch.rand(2, 1000), dtype)
        for _ in range(STEPS):
            z = torch.randn(3, 4, side, side)
            condition = {"context": torch.randn(3, sd15.TOKENS, config["context_dim"])}
            if channels := config["adm_in_channels"]:
                condition["y"] = torch.randn(3, channels)
            t = torch.randint(1000, (3,))
            terms = triple_reconstruction_loss(eps_theta, z, t, torch.randn_like(z), condition, torch.rand(1000))
            optimizer.step(terms.sum())
    return live.peak


@_without_data
def peer(method: str, dtype: torch.dtype, checkpointing: bool, shape: sd15.Shape = sd15.REAL, side: int = 64) -> int:
    """Peak bytes of the diffusers loop; its optimizer is the fused one, which needs the least."""
    from shared.peer_unet import empty_unet

    from .dreambooth_loop import DreamBoothLoop

    with LiveBytes() as live:
        latents, contexts = torch.randn(1, 4, side, side), torch.randn(1, sd15.TOKENS, sd15.CONTEXT)
        unet = empty_unet(shape.unet_config(), "cpu")
        loop = DreamBoothLoop(
            unet, [latents] * 3, [contexts] * 3, method, dtype, checkpointing, 1e-6, "cpu", fused=True
        )
        live.peak = live.now
        for _ in range(STEPS):
            z = torch.randn(3, 4, side, side)
            sample = Draw(z, torch.randint(1000, (3,)), torch.randn_like(z))
            for i in range(3):
                loop.term(sample, i)
            loop.update()
    return live.peak
