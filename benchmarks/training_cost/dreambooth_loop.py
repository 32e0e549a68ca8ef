"""A DreamBooth-style loop in diffusers with StyO's three losses, after train_dreambooth.py of diffusers' examples.

It is spared what that script does besides: latents and text embeddings are cached, gradients are not clipped, nothing
is saved. Three forward passes a step, AdamW, float32 weights, torch's autocast, the loss read back after every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from styo.bridge.learner import DTYPES
from styo.training.data import Draw, draw
from styo.training.settings import Settings

WEIGHT_DECAY = 1e-2


class DreamBoothLoop:
    """The loop over ``unet`` (float32, its own, on ``device``) on ``latents`` and ``contexts``, one of each a term.

    The method is `full` or `cross_attention`; ``fused`` asks for torch's fused AdamW instead of its default. The draws
    are those of the pack's training.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        latents: Sequence[torch.Tensor],
        contexts: Sequence[torch.Tensor],
        settings: Settings,
        device: str,
        fused: bool = False,
    ):
        self.unet, self.device, self.dtype = unet.train(), device, DTYPES[settings.precision]
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(settings.method == "full" or ".attn2." in name)
        if settings.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
        how = {"lr": settings.step_size, "weight_decay": WEIGHT_DECAY, "fused": fused or None}
        self.optimizer = torch.optim.AdamW(trained, **how)
        self.scaler = torch.amp.GradScaler(device, enabled=self.dtype == torch.float16)
        self.scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        self.latents, self.contexts = ([x.to(device) for x in given] for given in (latents, contexts))
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.losses: list[float] = []

    def steps(self, count: int):
        """Take ``count`` steps."""
        for _ in range(count):
            losses = self.step(self.draw())
            self.losses.append(sum(loss.item() for loss in losses))

    def draw(self) -> Draw:
        """One draw of equation 4."""
        return draw(self.latents, len(self.scheduler.alphas_cumprod), self.generator)

    def step(self, sample: Draw) -> list[torch.Tensor]:
        """One step, the terms one after another; returns their losses."""
        losses = [self.back_propagated(sample, i) for i in range(len(self.contexts))]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def back_propagated(self, sample: Draw, i: int) -> torch.Tensor:
        """One term's loss, already back-propagated."""
        loss = self.loss(sample, i)
        self.scaler.scale(loss).backward()
        return loss.detach()

    def loss(self, sample: Draw, i: int) -> torch.Tensor:
        """One term's loss."""
        z, t, eps = (part[i : i + 1] for part in (sample.z, sample.t, sample.eps))
        z_t = self.scheduler.add_noise(z, eps, t)
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            prediction = self.unet(z_t, t, self.contexts[i]).sample
        return torch.nn.functional.mse_loss(prediction.float(), eps.float())
