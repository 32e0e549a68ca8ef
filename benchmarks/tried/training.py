"""Ways to take a training step: each is a change of one function of the pack, in force while its training runs."""

from __future__ import annotations

import dataclasses
import functools
from unittest import mock

import torch
import training_cost.our_training as ours
from styo.bridge import learner, unet_copy
from styo.training.data import Draw
from styo.training.history import LossHistory


class OrdinaryAdam:
    """Adam that steps after the backward pass, when all gradients are there."""

    def __init__(self, how: str, groups: dict, learning_rate: float, scale_loss: bool, kind: str):
        if scale_loss or kind != "adam":
            raise ValueError("The ordinary optimizer is Adam for precisions without loss scaling.")
        parameters = [parameter for group in groups.values() for parameter in group.values()]
        self._adam = torch.optim.Adam(parameters, lr=learning_rate, **{how: True})

    def step(self, loss: torch.Tensor):
        """Back-propagate and step."""
        loss.backward()
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)


def _ordinary(how: str):
    return lambda _, *args, **kwargs: OrdinaryAdam(how, *args, **kwargs)


def _one_by_one(batched, eps_theta, z, t, eps, condition, sigmas):
    def term(row: slice) -> torch.Tensor:
        return batched(eps_theta, z[row], t[row], eps[row], {name: c[row] for name, c in condition.items()}, sigmas)

    return torch.cat([term(slice(i, i + 1)) for i in range(len(z))])


def _attention_of_comfyui(_, attention, *args, **kwargs):
    return attention(*args, **kwargs)


def _compiled(copy, *args):
    unet = copy(*args)
    unet.compile()
    return unet


class _Predictor(torch.nn.Module):
    """eps_theta with all weights of its UNet, as a module of tensors only, which is what a CUDA graph is made of."""

    def __init__(self, eps_theta, unet: torch.nn.Module, names: list[str], *args):
        super().__init__()
        self.unet, self._names, self._predict = unet, names, eps_theta(unet, *args)

    def forward(self, z_t: torch.Tensor, t: torch.Tensor, *condition: torch.Tensor) -> torch.Tensor:
        return self._predict(z_t, t, dict(zip(self._names, condition, strict=True)))


def _graphed(eps_theta, unet, *args):
    """eps_theta whose forward and backward pass are captured when it is first called."""
    graphs = []

    def predict(z_t, t, condition):
        if not graphs:
            inputs = tuple(value.clone() for value in (z_t, t, *condition.values()))
            predictor = _Predictor(eps_theta, unet, list(condition), *args)
            graphs.append(torch.cuda.make_graphed_callables(predictor, inputs))
        return graphs[0](z_t, t, *condition.values())

    return predict


def _settled(append, history, losses):
    append(history, losses)
    history.settle()


def _drawn_on_the_host(draw, latents, timesteps, generator):
    sample = draw([z.cpu() for z in latents], timesteps, generator)
    return Draw(*(part.to(latents[0].device) for part in (sample.z, sample.t, sample.eps)))


@dataclasses.dataclass(frozen=True)
class Way:
    """What stands in for the function ``name`` of ``owner``, and is given it first; whether a CPU shows anything."""

    owner: object
    name: str
    other: object
    anywhere: bool = True


WAYS = {
    "optimizer after the backward pass, fused": Way(ours, "BackwardOptimizer", _ordinary("fused")),
    "optimizer after the backward pass, foreach": Way(ours, "BackwardOptimizer", _ordinary("foreach")),
    "three forward passes": Way(learner, "triple_reconstruction_loss", _one_by_one),
    "attention as ComfyUI has chosen it": Way(unet_copy, "_torch_attention", _attention_of_comfyui),
    "channels last": Way(unet_copy, "copy_unet", lambda copy, *args: copy(*args).to(memory_format=torch.channels_last)),
    "loss read back at once": Way(LossHistory, "append", _settled, anywhere=False),
    "latents kept on the host": Way(learner, "draw", _drawn_on_the_host, anywhere=False),
    "compiled forward pass": Way(unet_copy, "copy_unet", _compiled, anywhere=False),
    "CUDA graph of forward and backward pass": Way(unet_copy, "eps_theta", _graphed, anywhere=False),
}


class Changed:
    """The pack's training, which ``make`` builds, with the change called ``name`` in force whenever it runs."""

    def __init__(self, name: str, make):
        way = WAYS[name]
        original = getattr(way.owner, way.name)

        def other(*args, **kwargs):
            return way.other(original, *args, **kwargs)

        self._way = functools.partial(mock.patch.object, way.owner, way.name, other)
        with self._way():
            self._training = make()

    def steps(self, count: int):
        """Take ``count`` steps."""
        with self._way():
            self._training.steps(count)
