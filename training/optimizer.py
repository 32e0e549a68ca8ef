"""Optimizers whose steps are taken inside the backward pass, so that all gradients never exist at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping

import torch

from . import adafactor

FP16_LOSS_SCALE = 2.0**16
NEVER = 2**31 - 1
FUSED_DEVICES = ("cpu", "cuda", "xpu")


class Adam:
    """Adam (arXiv 1412.6980) without weight decay: torch's own, with two moments as large as the parameter."""

    @staticmethod
    def shape(parameter: torch.Size) -> tuple[int, ...]:
        """The shape that a parameter is stepped in."""
        return tuple(parameter)

    @staticmethod
    def moments(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """What is remembered of a parameter stepped in ``shape``: names and shapes."""
        return {"exp_avg": shape, "exp_avg_sq": shape}

    @staticmethod
    def make(parameters: list[torch.nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=learning_rate, fused=parameters[0].device.type in FUSED_DEVICES)


class Adafactor:
    """Adafactor (arXiv 1804.04235) without weight decay, with a row and a column remembered of each matrix.

    A convolution [out, in, h, w] is stepped as the matrix [out, in h w], of which much less is remembered.
    """

    @staticmethod
    def shape(parameter: torch.Size) -> tuple[int, ...]:
        """The shape that a parameter is stepped in: a matrix, or a vector."""
        return tuple(parameter) if len(parameter) < 2 else (parameter[0], math.prod(parameter[1:]))

    @staticmethod
    def moments(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """What is remembered of a parameter stepped in ``shape``: names and shapes."""
        if len(shape) < 2:
            return {"variance": shape}
        rows, columns = shape
        return {"row_var": (rows, 1), "col_var": (1, columns)}

    @staticmethod
    def make(parameters: list[torch.nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        return adafactor.Adafactor(parameters, learning_rate)


KINDS = {"adam": Adam, "adafactor": Adafactor}


def state_bytes(kind: str, shapes: Iterable[torch.Size]) -> int:
    """The bytes of a saved state of float32 parameters of these ``shapes`` and what is remembered of them."""
    rule = KINDS[kind]
    moments = [rule.moments(rule.shape(shape)) for shape in shapes]
    return 4 * sum(map(math.prod, shapes)) + 4 * sum(math.prod(shape) for each in moments for shape in each.values())


class BackwardOptimizer:
    """An optimizer of ``kind`` for each group of parameters, stepped as soon as the group's last gradient is there.

    ``groups`` maps a group's name to its float32 parameters by name. A group whose gradient is not finite is left as it
    is. ``rates`` holds the learning rate of the groups that have one of their own. ``scale_loss`` keeps small fp16
    gradients from vanishing (arXiv 1710.03740).
    """

    def __init__(
        self,
        groups: dict[str, dict[str, torch.nn.Parameter]],
        learning_rate: float,
        scale_loss: bool,
        kind: str = "adam",
        rates: Mapping[str, float] | None = None,
    ):
        device = next(parameter for group in groups.values() for parameter in group.values()).device
        self.groups = groups
        self._rule = KINDS[kind]
        self._scaler = torch.amp.GradScaler(
            device.type,
            init_scale=FP16_LOSS_SCALE if scale_loss else 1.0,
            growth_interval=2000 if scale_loss else NEVER,
        )
        # The same memory in the shape that it is stepped in.
        self._stepped = {
            name: {key: torch.nn.Parameter(p.detach().view(self._rule.shape(p.shape))) for key, p in group.items()}
            for name, group in groups.items()
        }
        self._optimizers = {
            name: self._rule.make(list(group.values()), (rates or {}).get(name, learning_rate))
            for name, group in self._stepped.items()
        }
        self._waiting = {name: len(group) for name, group in groups.items()}
        for name, group in groups.items():
            for parameter in group.values():
                parameter.register_post_accumulate_grad_hook(functools.partial(self._gradient_arrived, name))

    def _gradient_arrived(self, name: str, _: torch.nn.Parameter):
        self._waiting[name] -= 1
        if self._waiting[name]:
            return
        for key, parameter in self.groups[name].items():
            stepped = self._stepped[name][key]
            stepped.grad, parameter.grad = parameter.grad.reshape(stepped.shape), None
        self._scaler.step(self._optimizers[name])
        self._optimizers[name].zero_grad(set_to_none=True)
        self._waiting[name] = len(self.groups[name])

    def step(self, loss: torch.Tensor):
        """Back-propagate ``loss`` and step every parameter; each must take part in it."""
        self._scaler.scale(loss).backward()
        self._scaler.update()

    def loss_scale(self) -> float:
        """The factor the gradients carry now."""
        return self._scaler.get_scale()

    def state(self) -> dict[str, torch.Tensor]:
        """What a later run needs to go on: the parameters, what is remembered of each, and the loss scale."""
        scaler = self._scaler.state_dict()
        tensors = {
            "scaler.scale": torch.tensor([scaler["scale"]]),
            "scaler.growth_tracker": torch.tensor([scaler["_growth_tracker"]]),
        }
        for name, group in self._stepped.items():
            for key, parameter in group.items():
                tensors[f"parameter.{key}"] = self.groups[name][key].detach()
                remembered = self._optimizers[name].state.get(parameter, {})
                tensors |= {f"{moment}.{key}": value for moment, value in remembered.items()}
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: dict[str, torch.Tensor]):
        """Go on from ``state()``; raises KeyError or RuntimeError, before any change, where it does not fit."""
        remembered = {name: self._remembered(group, tensors) for name, group in self._stepped.items()}
        for name, group in self.groups.items():
            optimizer = self._optimizers[name]
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": dict(enumerate(remembered[name])), "param_groups": groups})
            for key, parameter in group.items():
                parameter.copy_(tensors[f"parameter.{key}"])
        scaler = self._scaler.state_dict()
        scaler["scale"] = tensors["scaler.scale"].item()
        scaler["_growth_tracker"] = int(tensors["scaler.growth_tracker"])
        self._scaler.load_state_dict(scaler)

    def _remembered(self, group: dict[str, torch.nn.Parameter], tensors: dict[str, torch.Tensor]) -> list[dict]:
        """What ``tensors`` remember of each of a group's parameters, checked."""
        found = []
        for key, parameter in group.items():
            shapes = self._rule.moments(tuple(parameter.shape))
            # Nothing is remembered of a parameter none of whose gradients has been finite yet.
            stepped = f"step.{key}" in tensors
            found.append({moment: tensors[f"{moment}.{key}"] for moment in (*shapes, "step")} if stepped else {})
            fits = not stepped or all(found[-1][moment].shape == shape for moment, shape in shapes.items())
            if not fits or tensors[f"parameter.{key}"].numel() != parameter.numel():
                raise RuntimeError(f"{key} has the shape of another model.")
        return found
