"""Prompt-to-Prompt's attention store in diffusers: processors that form maps, keep them, and replace columns.

After google/prompt-to-prompt and the Prompt-to-Prompt pipeline of diffusers' community examples. Their processors form
the maps of self attention too, and their store sums over the steps whatever has up to 32 x 32 positions. Kept besides
are the conditional cross-attention maps of every layer and step, which is what StyO (section 3.3) needs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from shared.sd15 import Conditionings

from .comfy_passes import Sampling

MOST_SUMMED_POSITIONS = 32**2


class MapProcessor:
    """An attention processor that forms the softmax map [B * heads, N, T] and shows its conditional half to ``see``."""

    def __init__(self, see: Callable[[torch.Tensor], torch.Tensor]):
        self._see = see

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(context))
        value = attn.head_to_batch_dim(attn.to_v(context))
        maps = attn.get_attention_scores(query, key, attention_mask)
        half = maps.shape[0] // 2
        maps[half:] = self._see(maps[half:])
        return attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(torch.bmm(maps, value))))


class P2PPasses:
    """Both passes of StyO by Prompt-to-Prompt; not ``as_published``, self attention is torch's, nothing summed."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        conditionings: Conditionings,
        sampling: Sampling,
        as_published: bool,
        device: str,
    ):
        self.unet, self.conditionings, self.sampling = unet, conditionings, sampling
        self.as_published, self.device = as_published, device
        self.scheduler = DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=True,
            steps_offset=1,
        )
        self.scheduler.set_timesteps(sampling.steps)
        self.stored_bytes = 0

    @torch.no_grad()
    def _sample(self, positive: list) -> torch.Tensor:
        """The latent of a DDIM loop with classifier-free guidance in one batch of 2, scaled as the UNet sees it."""
        batch, device, dtype = self.sampling.batch, self.device, self.unet.dtype
        embeddings = [c[0][0].expand(batch, -1, -1) for c in (self.conditionings.negative, positive)]
        context = torch.cat(embeddings).to(device, dtype)
        start = self.scheduler.alphas_cumprod[self.scheduler.timesteps[0]]
        x = (self.sampling.noise() * (1 - start) ** 0.5).to(device, torch.float32)
        for t in self.scheduler.timesteps:
            eps = self.unet(torch.cat([x, x]).to(dtype), t, encoder_hidden_states=context).sample.float()
            unconditional, conditional = eps.chunk(2)
            x = self.scheduler.step(unconditional + self.sampling.cfg * (conditional - unconditional), t, x).prev_sample
        return x.cpu()

    def plain(self) -> torch.Tensor:
        """The stylized prompt, without a store and with torch's fused attention."""
        self.unet.set_attn_processor(AttnProcessor2_0())
        return self._sample(self.conditionings.stylized)

    def both(self) -> torch.Tensor:
        """The source pass, which stores, and the stylization pass, which replaces."""
        store: dict[str, list[torch.Tensor]] = {}
        self._observe(lambda layer, maps: _keep(store.setdefault(layer, []), maps))
        self._sample(self.conditionings.source)
        self.stored_bytes = sum(maps.nbytes for layer in store.values() for maps in layer)
        columns = list(self.conditionings.columns)
        self._observe(lambda layer, maps: _overwrite(maps, store[layer].pop(0), columns))
        return self._sample(self.conditionings.stylized)

    def _observe(self, see: Callable[[str, torch.Tensor], torch.Tensor]):
        """Give every cross-attention layer, as published every layer, a processor that shows its maps."""
        sums: dict[str, torch.Tensor] = {}
        processors = {}
        for name in self.unet.attn_processors:
            if ".attn2." in name or self.as_published:
                processors[name] = MapProcessor(functools.partial(self._look, see, sums, name))
            else:
                processors[name] = AttnProcessor2_0()
        self.unet.set_attn_processor(processors)

    def _look(self, see, sums: dict[str, torch.Tensor], name: str, maps: torch.Tensor) -> torch.Tensor:
        if self.as_published and maps.shape[1] <= MOST_SUMMED_POSITIONS:
            if name in sums:
                sums[name] += maps
            else:
                sums[name] = maps
        return see(name, maps) if ".attn2." in name else maps


def _keep(store: list[torch.Tensor], maps: torch.Tensor) -> torch.Tensor:
    store.append(maps.clone())
    return maps


def _overwrite(maps: torch.Tensor, source: torch.Tensor, columns: Sequence[int]) -> torch.Tensor:
    maps[:, :, columns] = source[:, :, columns]
    return maps
