"""The memory of one training step of a UNet in its real size, counted without data: nothing of it is measured.

The code that trains runs as it is; torch's fake tensors tell the size of everything it makes. Autocast follows the
CPU's rules, and what a kernel needs only within itself is not seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from shared import models
from shared.measure import LiveBytes
from styo.bridge import unet_copy
from styo.bridge.learner import DTYPES
from styo.training.data import Draw
from styo.training.losses import triple_reconstruction_loss
from styo.training.optimizer import BackwardOptimizer
from styo.training.settings import Settings
from torch._subclasses.fake_tensor import FakeTensorMode

STEPS = 2
"""Steps to count: the moments of Adam are there from the first one's end."""


@contextlib.contextmanager
def without_data() -> Iterator[None]:
    """Tensors have no data: a number that the host reads is 1, and every gradient is finite."""
    finite = mock.patch.object(torch.amp.GradScaler, "_maybe_opt_step", lambda _, optimizer, *__: optimizer.step())
    one = mock.patch.object(torch.Tensor, "item", lambda _: 1.0)
    with FakeTensorMode(), finite, one:
        yield


class Steps:
    """The pack's training of a UNet on random latents and embeddings, a pass at a time."""

    def __init__(self, settings: Settings, of: models.Unet):
        self._of, self._side = of, settings.resolution // 8
        dtype = DTYPES[settings.precision]
        unet = UNetModel(**of.unet_config(), dtype=torch.float32, operations=unet_copy.PlainLayers)
        unet.requires_grad_(False).eval()
        for name in unet_copy.frozen_matrices(unet, settings.method):
            parameter = unet.get_parameter(name)
            parameter.data = parameter.data.to(dtype)
        groups = unet_copy.select_trainable(unet, settings.method, settings.rank, torch.Generator())
        if settings.gradient_checkpointing:
            unet_copy.checkpoint_blocks(unet)
        self._optimizer = BackwardOptimizer(groups, settings.step_size, scale_loss=False, kind=settings.optimizer)
        self._eps_theta = unet_copy.eps_theta(unet, torch.rand(2, 1000), dtype)

    def forward(self) -> torch.Tensor:
        """The terms of the loss."""
        z, t = torch.randn(3, 4, self._side, self._side), torch.randint(1000, (3,))
        condition = {"context": torch.randn(3, models.TOKENS, self._of.context)}
        if channels := self._of.unet_config()["adm_in_channels"]:
            condition["y"] = torch.randn(3, channels)
        return triple_reconstruction_loss(self._eps_theta, z, t, torch.randn_like(z), condition, torch.rand(1000))

    def backward(self, terms: torch.Tensor):
        """The backward pass, with the optimizer's steps in it."""
        self._optimizer.step(terms.sum())


def ours(settings: Settings, of: models.Unet = models.SD15) -> int:
    """Peak bytes of the pack's training."""
    with without_data(), LiveBytes() as live:
        steps = Steps(settings, of)
        live.peak = live.now
        for _ in range(STEPS):
            steps.backward(steps.forward())
    return live.peak


def peer(settings: Settings, of: models.Unet = models.SD15) -> int:
    """Peak bytes of the diffusers loop; its optimizer is the fused one, which needs the least."""
    from shared.peer_unet import empty_unet

    from .dreambooth_loop import DreamBoothLoop

    side = settings.resolution // 8
    with without_data(), LiveBytes() as live:
        latents, contexts = torch.randn(1, 4, side, side), torch.randn(1, models.TOKENS, of.context)
        unet = empty_unet(of.unet_config(), "cpu")
        loop = DreamBoothLoop(unet, [latents] * 3, [contexts] * 3, settings, "cpu", fused=True)
        live.peak = live.now
        for _ in range(STEPS):
            z = torch.randn(3, 4, side, side)
            loop.step(Draw(z, torch.randint(1000, (3,)), torch.randn_like(z)))
    return live.peak
