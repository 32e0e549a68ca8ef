"""Low-rank updates of frozen layers (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class LowRank(torch.nn.Module):
    """y = base(x) + up(down(x)): LoRA (arXiv 2106.09685, section 4.1), alpha = rank, around a Linear or 1 x 1 Conv2d.

    ``down`` starts uniform in +-1/sqrt(inputs), drawn from ``generator``; ``up`` starts at 0, so y starts as base(x).
    """

    def __init__(self, base: torch.nn.Linear | torch.nn.Conv2d, rank: int, generator: torch.Generator):
        super().__init__()
        outputs, inputs = base.weight.shape[:2]
        down = torch.rand((rank, inputs), generator=generator).mul_(2).sub_(1).mul_(inputs**-0.5)
        self.base = base
        self.lora_down = _layer(base, down)
        self.lora_up = _layer(base, torch.zeros(outputs, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.lora_up(self.lora_down(x))


def _layer(like: torch.nn.Linear | torch.nn.Conv2d, weight: torch.Tensor) -> torch.nn.Module:
    """A layer of the kind of ``like``, without bias, holding ``weight`` [outputs, inputs] on the device of ``like``."""
    outputs, inputs = weight.shape
    if isinstance(like, torch.nn.Conv2d):
        layer = torch.nn.Conv2d(inputs, outputs, 1, bias=False, device="meta")
    else:
        layer = torch.nn.Linear(inputs, outputs, bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight.reshape(layer.weight.shape).to(like.weight.device))
    return layer


def is_matrix(module: torch.nn.Module) -> bool:
    """Whether the layer is one matrix: a Linear or a 1 x 1 Conv2d."""
    return isinstance(module, torch.nn.Linear) or (isinstance(module, torch.nn.Conv2d) and module.kernel_size == (1, 1))


def add_low_rank(root: torch.nn.Module, paths: Iterable[str], rank: int, generator: torch.Generator):
    """Put a LowRank around each layer of ``root`` that ``paths`` names."""
    for path in paths:
        parent, _, name = path.rpartition(".")
        setattr(root.get_submodule(parent), name, LowRank(root.get_submodule(path), rank, generator))
