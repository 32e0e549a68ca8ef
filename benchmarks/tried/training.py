"""Ways to take a training step: each builds the pack's training with one thing changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from unittest import mock

import torch
from styo.bridge import learner, unet_copy
from training_cost.our_training import OurTraining

LEARNER, TRAINING = "styo.bridge.learner", "training_cost.our_training"


class OrdinaryAdam:
    """Adam that steps after the backward pass, when all gradients are there."""

    def __init__(self, groups: dict, learning_rate: float, scale_loss: bool, kind: str, **how):
        parameters = [parameter for group in groups.values() for parameter in group.values()]
        self._adam = torch.optim.Adam(parameters, lr=learning_rate, **how)
        if scale_loss or kind != "adam":
            raise ValueError("The ordinary optimizer is Adam for precisions without loss scaling.")

    def step(self, loss: torch.Tensor):
        """Back-propagate and step."""
        loss.backward()
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)


def _ordinary(**how) -> Callable:
    return lambda *args, **kwargs: OrdinaryAdam(*args, **kwargs, **how)


def _one_by_one(eps_theta, z, t, eps, condition, sigmas):
    def term(row: slice) -> torch.Tensor:
        return _batched(eps_theta, z[row], t[row], eps[row], {name: c[row] for name, c in condition.items()}, sigmas)

    return torch.cat([term(slice(i, i + 1)) for i in range(len(z))])


def _attention_of_comfyui(function, *args, **kwargs):
    return function(*args, **kwargs)


def _channels_last(model):
    return _copy(model).to(memory_format=torch.channels_last)


_batched, _copy = learner.triple_reconstruction_loss, unet_copy.copy_unet

WAYS: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "optimizer after the backward pass, fused": lambda: mock.patch(
        f"{TRAINING}.BackwardOptimizer", _ordinary(fused=True)
    ),
    "optimizer after the backward pass, foreach": lambda: mock.patch(
        f"{TRAINING}.BackwardOptimizer", _ordinary(foreach=True)
    ),
    "three forward passes": lambda: mock.patch(f"{LEARNER}.triple_reconstruction_loss", _one_by_one),
    "attention as ComfyUI has chosen it": lambda: mock.patch.object(
        unet_copy, "_torch_attention", _attention_of_comfyui
    ),
    "channels last": lambda: mock.patch.object(unet_copy, "copy_unet", _channels_last),
}


class Changed:
    """The pack's training with the change called ``name`` in force whenever it runs."""

    def __init__(self, name: str, model, settings, device: str):
        self._way = WAYS[name]
        with self._way():
            self._training = OurTraining(model, settings, device)

    def steps(self, count: int):
        """Take ``count`` steps."""
        with self._way():
            self._training.steps(count)
