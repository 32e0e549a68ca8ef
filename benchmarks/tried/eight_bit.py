"""Adam with 8-bit states (bitsandbytes), followed step by step beside the Adam it stands for."""

from __future__ import annotations

import torch

WIDTH, HIDDEN, BATCH = 64, 256, 8
STEPS, LEARNING_RATE = 400, 1e-6
SMALLEST = 1
"""Tensors of at least so many values get 8-bit states: all of them."""


def _net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, HIDDEN), torch.nn.SiLU(), torch.nn.Linear(HIDDEN, WIDTH))


def distance(device: str) -> float:
    """How far 8-bit states lead away from float32 Adam on the same gradients, as a part of the weights' change."""
    import bitsandbytes

    start, exact, rounded = (_net().to(device) for _ in range(3))
    adam = torch.optim.Adam(exact.parameters(), lr=LEARNING_RATE)
    adam8 = bitsandbytes.optim.Adam8bit(rounded.parameters(), lr=LEARNING_RATE, min_8bit_size=SMALLEST)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        x = torch.randn((BATCH, WIDTH), generator=generator).to(device)
        ((exact(x) - x.roll(1, 1)) ** 2).mean().backward()
        for parameter, twin in zip(exact.parameters(), rounded.parameters(), strict=True):
            twin.grad = parameter.grad.clone()
        adam.step()
        adam8.step()
        adam.zero_grad()
    before, there, here = (torch.nn.utils.parameters_to_vector(net.parameters()) for net in (start, exact, rounded))
    return float((torch.linalg.vector_norm(here - there) / torch.linalg.vector_norm(there - before)).detach())
