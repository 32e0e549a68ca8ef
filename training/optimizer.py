"""Adam whose steps are taken inside the backward pass, so that all gradients never exist at once."""

from __future__ import annotations

import functools

import torch

FP16_LOSS_SCALE = 2.0**16
NEVER = 2**31 - 1
FUSED_DEVICES = ("cpu", "cuda", "xpu")
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class BackwardAdam:
    """Adam (arXiv 1412.6980) without weight decay, one optimizer a group, each stepped once its last gradient is there.

    ``groups`` maps a group's name to its float32 parameters by name. A group whose gradient is not finite is left as it
    is, without the host having to look. ``scale_loss`` keeps small fp16 gradients from vanishing (arXiv 1710.03740).
    """

    def __init__(self, groups: dict[str, dict[str, torch.nn.Parameter]], learning_rate: float, scale_loss: bool):
        device = next(parameter for group in groups.values() for parameter in group.values()).device
        self.groups = groups
        self._scaler = torch.amp.GradScaler(
            device.type,
            init_scale=FP16_LOSS_SCALE if scale_loss else 1.0,
            growth_interval=2000 if scale_loss else NEVER,
        )
        fused = device.type in FUSED_DEVICES
        self._adams = {
            name: torch.optim.Adam(group.values(), lr=learning_rate, fused=fused) for name, group in groups.items()
        }
        self._waiting = {name: len(group) for name, group in groups.items()}
        for name, group in groups.items():
            for parameter in group.values():
                parameter.register_post_accumulate_grad_hook(functools.partial(self._gradient_arrived, name))

    def _gradient_arrived(self, name: str, _: torch.nn.Parameter):
        self._waiting[name] -= 1
        if self._waiting[name] == 0:
            self._scaler.step(self._adams[name])
            self._adams[name].zero_grad(set_to_none=True)
            self._waiting[name] = len(self.groups[name])

    def step(self, loss: torch.Tensor):
        """Back-propagate ``loss`` and step every parameter; each must take part in it."""
        self._scaler.scale(loss).backward()
        self._scaler.update()

    def loss_scale(self) -> float:
        """The factor the gradients carry now."""
        return self._scaler.get_scale()

    def state(self) -> dict[str, torch.Tensor]:
        """What a later run needs to go on: the parameters, their moments, and the loss scale."""
        scaler = self._scaler.state_dict()
        tensors = {
            "scaler.scale": torch.tensor([scaler["scale"]]),
            "scaler.growth_tracker": torch.tensor([scaler["_growth_tracker"]]),
        }
        for name, group in self.groups.items():
            for parameter_name, parameter in group.items():
                tensors[f"parameter.{parameter_name}"] = parameter.detach()
                moments = self._adams[name].state[parameter]
                tensors |= {f"{moment}.{parameter_name}": moments[moment] for moment in MOMENTS}
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: dict[str, torch.Tensor]):
        """Go on from ``state()``; raises KeyError or RuntimeError, before any change, where it does not fit."""
        for group in self.groups.values():
            for name, parameter in group.items():
                for key in ("parameter", *MOMENTS[:2]):
                    if tensors[f"{key}.{name}"].shape != parameter.shape:
                        raise RuntimeError(f"{key}.{name} has the shape of another model.")
        for name, group in self.groups.items():
            moments = [{moment: tensors[f"{moment}.{parameter}"] for moment in MOMENTS} for parameter in group]
            adam = self._adams[name]
            adam.load_state_dict({"state": dict(enumerate(moments)), "param_groups": adam.state_dict()["param_groups"]})
            for parameter_name, parameter in group.items():
                parameter.copy_(tensors[f"parameter.{parameter_name}"])
        scaler = self._scaler.state_dict()
        scaler["scale"] = tensors["scaler.scale"].item()
        scaler["_growth_tracker"] = int(tensors["scaler.growth_tracker"])
        self._scaler.load_state_dict(scaler)
