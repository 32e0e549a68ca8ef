"""Ways to take a training step: each builds the pack's training with one thing changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from unittest import mock

import torch
from styo.bridge import learner, unet_copy
from styo.training.data import Draw
from styo.training.history import LossHistory
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


def _channels_last(*args):
    return _copy(*args).to(memory_format=torch.channels_last)


def _compiled(*args):
    unet = _copy(*args)
    unet.compile()
    return unet


class _Predictor(torch.nn.Module):
    """eps_theta with all weights of its UNet, as a module of tensors only, which is what a CUDA graph is made of."""

    def __init__(self, unet: torch.nn.Module, names: list[str], *args):
        super().__init__()
        self.unet, self._names, self._predict = unet, names, _eps_theta(unet, *args)

    def forward(self, z_t: torch.Tensor, t: torch.Tensor, *condition: torch.Tensor) -> torch.Tensor:
        return self._predict(z_t, t, dict(zip(self._names, condition, strict=True)))


def _graphed(unet, *args):
    """eps_theta whose forward and backward pass are captured when it is first called."""
    graphs = []

    def predict(z_t, t, condition):
        if not graphs:
            inputs = (z_t.clone(), t.clone(), *(value.clone() for value in condition.values()))
            graphs.append(torch.cuda.make_graphed_callables(_Predictor(unet, list(condition), *args), inputs))
        return graphs[0](z_t, t, *condition.values())

    return predict


def _settled(history, losses):
    _append(history, losses)
    history.settle()


def _drawn_on_the_host(latents, timesteps, generator):
    device = latents[0].device
    sample = _draw([z.cpu() for z in latents], timesteps, generator)
    return Draw(sample.z.to(device), sample.t.to(device), sample.eps.to(device))


_batched, _copy = learner.triple_reconstruction_loss, unet_copy.copy_unet
_eps_theta, _draw, _append = unet_copy.eps_theta, learner.draw, LossHistory.append

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
    "loss read back at once": lambda: mock.patch.object(LossHistory, "append", _settled),
    "latents kept on the host": lambda: mock.patch.object(learner, "draw", _drawn_on_the_host),
    "compiled forward pass": lambda: mock.patch.object(unet_copy, "copy_unet", _compiled),
    "CUDA graph of forward and backward pass": lambda: mock.patch.object(unet_copy, "eps_theta", _graphed),
}
ANYWHERE = tuple(WAYS)[:5]
"""Those of WAYS that mean something on a CPU, too."""


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
