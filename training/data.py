"""What a training step sees: square images, and the random draws of equation 4."""

from __future__ import annotations

import dataclasses

import torch

WIDEST = 8
"""How many times its shorter side an image's longer side is scaled as a whole; further out it cannot tell."""


def to_square(image: torch.Tensor, resolution: int) -> torch.Tensor:
    """An image [H, W, 1, 3 or 4] in 0..1 as RGB [resolution, resolution, 3]: the middle, of the shorter side's size.

    Transparency becomes white, and the shorter side is scaled to ``resolution`` pixels.
    """
    if image.shape[-1] == 1:
        image = image.expand(-1, -1, 3)
    elif image.shape[-1] == 4:
        alpha = image[..., 3:].clamp(0, 1)
        image = image[..., :3] * alpha + (1 - alpha)
    image = _without_far_ends(_without_far_ends(image, 0), 1)
    height, width = image.shape[:2]
    scale = resolution / min(height, width)
    size = (max(resolution, round(height * scale)), max(resolution, round(width * scale)))
    pixels = image.movedim(-1, 0)[None].float()
    if size != (height, width):
        pixels = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)
    top, left = (size[0] - resolution) // 2, (size[1] - resolution) // 2
    return pixels[0, :, top : top + resolution, left : left + resolution].movedim(0, -1).clamp(0, 1).contiguous()


def _without_far_ends(image: torch.Tensor, side: int) -> torch.Tensor:
    """Cut off at both ends of ``side`` what is too far from the middle to be seen in the square."""
    length, shorter = image.shape[side], min(image.shape[:2])
    cut = max(0, length - WIDEST * shorter) // 2
    return image.narrow(side, cut, length - 2 * cut)


@dataclasses.dataclass(frozen=True)
class Draw:
    """One sample for each term of equation 4: latents ``z`` and noise ``eps`` [N, 4, h, w], timesteps ``t`` [N]."""

    z: torch.Tensor
    t: torch.Tensor
    eps: torch.Tensor


def draw(latents: list[torch.Tensor], timesteps: int, generator: torch.Generator) -> Draw:
    """One draw of equation 4's expectations: for each term one of ``latents`` [n_i, 4, h, w], t uniform, eps ~ N(0, I).

    All chance comes from ``generator`` (CPU), so that every device trains on the same draws.
    """
    picks = [int(torch.randint(len(term), (), generator=generator)) for term in latents]
    t = torch.randint(timesteps, (len(latents),), generator=generator)
    eps = torch.randn((len(latents), *latents[0].shape[1:]), generator=generator)
    z = torch.stack([term[pick] for term, pick in zip(latents, picks, strict=True)])
    return Draw(z, _send(t, z.device), _send(eps, z.device))


def _send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to ``device``; on CUDA, where pinned memory makes it safe, without waiting for the work queued there."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
