"""Prompt-to-Prompt's attention store in diffusers: processors that form maps, keep them, and replace columns.

After google/prompt-to-prompt and the Prompt-to-Prompt pipeline of diffusers' community examples. Their processors form
the maps of self attention too, and their store sums over the steps whatever has up to 32 x 32 positions. Kept besides
are the conditional cross-attention maps of every layer and step, which is what StyO (section 3.3) needs.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from shared.models import Conditionings

from .comfy_passes import Sampling

MOST_SUMMED_POSITIONS = 32**2


class MapProcessor:
    """An attention processor that forms the softmax map [B * heads, N, T] and shows its conditional half to ``see``."""

    def __init__(self, see: Callable[[torch.Tensor], None]):
        self._see = see

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(context))
        value = attn.head_to_batch_dim(attn.to_v(context))
        maps = attn.get_attention_scores(query, key, attention_mask)
        self._see(maps[maps.shape[0] // 2 :])
        return attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(torch.bmm(maps, value))))


class P2PPasses:
    """Both passes of StyO by Prompt-to-Prompt; not ``as_published``, self attention is torch's, nothing summed."""

    def __init__(
        self, unet: UNet2DConditionModel, conditionings: Conditionings, sampling: Sampling, as_published: bool
    ):
        self.unet, self.conditionings, self.sampling = unet, conditionings, sampling
        self.as_published = as_published
        betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
        self.scheduler = DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=True, steps_offset=1)
        self.scheduler.set_timesteps(sampling.steps)
        self.stored_bytes = 0

    @torch.no_grad()
    def _sample(self, positive: list) -> torch.Tensor:
        """The latent of a DDIM loop with classifier-free guidance in one batch of 2, scaled as the UNet sees it."""
        batch, device, dtype = self.sampling.batch, self.unet.device, self.unet.dtype
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
        store: dict[str, list[torch.Tensor]] = collections.defaultdict(list)
        columns = list(self.conditionings.columns)

        def keep(layer: str, maps: torch.Tensor):
            store[layer].append(maps.clone())

        def overwrite(layer: str, maps: torch.Tensor):
            maps[:, :, columns] = store[layer].pop(0)[:, :, columns]

        self._observe(keep)
        self._sample(self.conditionings.source)
        self.stored_bytes = sum(maps.nbytes for layer in store.values() for maps in layer)
        self._observe(overwrite)
        return self._sample(self.conditionings.stylized)

    def _observe(self, see: Callable[[str, torch.Tensor], None]):
        """Give every cross-attention layer, as published every layer, a processor that shows its maps."""
        sums: dict[str, torch.Tensor] = {}

        def look(layer: str, maps: torch.Tensor):
            if self.as_published and maps.shape[1] <= MOST_SUMMED_POSITIONS:
                sums[layer] = sums[layer].add_(maps) if layer in sums else maps
            if ".attn2." in layer:
                see(layer, maps)

        def processor(layer: str):
            seen = self.as_published or ".attn2." in layer
            return MapProcessor(functools.partial(look, layer)) if seen else AttnProcessor2_0()

        self.unet.set_attn_processor({layer: processor(layer) for layer in self.unet.attn_processors})
