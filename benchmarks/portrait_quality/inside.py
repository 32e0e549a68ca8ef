"""What a model's maps and identifiers mean: where passes look, what another seed's columns do, equation 4's terms."""

from __future__ import annotations

import math

import numpy as np
import torch
from styo.bridge import unet_copy
from styo.bridge.capture import maps_of
from styo.training.losses import add_noise

from .metrics import pixel_error
from .passes import PortraitPasses

SEEDS = (1, 2, 3)
"""Each takes the columns of the next."""
TERMS = ("source", "target", "auxiliary")
TIMESTEPS = 20
"""Evenly spread over the training's thousand."""
AUXILIARY = 4
"""How many of the auxiliary pictures are measured."""


def content_attention(source: dict, landmarks: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """(share, face) of a captured source pass, of a square picture with ``landmarks`` (x, y) in 0..1.

    ``share`` is what of all attention the content columns get, the mean over positions, heads, layers and steps.
    ``face`` is the attention per position inside the face over that outside of it: 1 where it makes no difference.
    """
    found = []
    for columns in maps_of(source).tensors:
        mass = columns.float().sum(-1).mean((0, 1))
        inside = torch.from_numpy(face(landmarks, math.isqrt(len(mass))).ravel())
        found.append((float(mass.mean()), float(mass[inside].mean() / mass[~inside].mean())))
    share, ratio = np.mean(found, axis=0)
    return float(share), float(ratio)


def columns_moved(source: dict, stylized: dict) -> float:
    """What of the source pass's content columns FCC changes in the stylization pass, both of them captured.

    The mean difference |M_sty[:, I] - M_src[:, I]| over the mean of M_src[:, I]: 0 where both passes look alike.
    """
    pairs = list(zip(maps_of(source).tensors, maps_of(stylized).tensors, strict=True))
    moved = sum(float((own - theirs).float().abs().mean()) for theirs, own in pairs)
    return moved / sum(float(theirs.float().mean()) for theirs, _ in pairs)


def face(landmarks: dict[str, tuple[float, float]], side: int) -> np.ndarray:
    """Which of [side, side] positions lie in the face: the ellipse from crown to chin, as wide as the temples."""
    names = ("crown", "chin", "left_temple", "right_temple")
    crown, chin, left, right = (np.array(landmarks[name]) for name in names)
    middle, along = (crown + chin) / 2, (chin - crown) / 2
    half_length, half_width = np.linalg.norm(along), np.linalg.norm(right - left) / 2
    along = along / half_length
    place = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(place - middle[0], place - middle[1])
    down, across = x * along[0] + y * along[1], x * along[1] - y * along[0]
    return (down / half_length) ** 2 + (across / half_width) ** 2 <= 1


def moved_towards(passes: PortraitPasses) -> tuple[float, float, float]:
    """(apart, moved, nearer): how far pictures of two seeds are apart without FCC, mean difference of pixels, and what
    of that difference another seed's content columns move a picture by, and bring it nearer to that seed's.

    Both passes are stylizations by the same prompt. If columns told all of a picture, ``nearer`` would be 1.
    """
    own = [passes.captured_stylization(seed) for seed in SEEDS]
    free = [passes.parts.decode(latent)[0].numpy() for latent in own]
    found = []
    for number, seed in enumerate(SEEDS):
        other = (number + 1) % len(SEEDS)
        given = passes.parts.decode(passes.stylization(seed, own[other]))[0].numpy()
        apart = pixel_error(free[number], free[other])
        found.append((apart, pixel_error(given, free[number]), apart - pixel_error(given, free[other])))
    apart, moved, nearer = np.mean(found, axis=0)
    return float(apart), float(moved / apart), float(nearer / apart)


def loss_matrix(passes: PortraitPasses, images: dict[str, torch.Tensor]) -> np.ndarray:
    """Mean of ||eps - eps_theta||^2 over timesteps, a value's, [prompts, images] in the order of TERMS.

    ``images`` are IMAGEs [N, H, W, 3] by term. One noise is drawn for each timestep, the same everywhere.
    """
    model = passes.model
    sigmas = unet_copy.training_sigmas(model)
    t = ((torch.arange(TIMESTEPS) + 0.5) / TIMESTEPS * len(sigmas)).long()
    contexts = [prompt[0][0].expand(TIMESTEPS, -1, -1) for prompt in (passes.source, passes.target, passes.auxiliary)]
    losses = np.zeros((len(TERMS), len(TERMS)))
    with torch.inference_mode():
        unet = unet_copy.copy_unet(model)
        eps_theta = unet_copy.eps_theta(unet, unet_copy.noise_weights(model), torch.float32)
        for column, term in enumerate(TERMS):
            latents = model.model.process_latent_in(passes.parts.encode(images[term][:AUXILIARY])["samples"])
            eps = torch.randn((TIMESTEPS, *latents.shape[1:]), generator=torch.Generator().manual_seed(0))
            for row, context in enumerate(contexts):
                for z in latents:
                    predicted = eps_theta(add_noise(z.expand_as(eps), eps, sigmas[t]), t, {"context": context})
                    losses[row, column] += float((eps - predicted).square().mean()) / len(latents)
    return losses
