"""Pictures of a training: what its weights draw now, above the curves of its losses."""

from __future__ import annotations

import logging

import comfy.model_management
import comfy.samplers
import torch
from comfy.k_diffusion.sampling import sample_dpmpp_2m
from latent_preview import Latent2RGBPreviewer
from PIL import Image

from ..training.history import LossHistory
from ..training.training_picture import training_picture
from .encoded import EncodedPrompt, encode_prompt
from .learner import Learner
from .training_inputs import SAMPLING, Inputs

STEPS = 8
"""Of DPM-Solver++(2M): the fewest in which Stable Diffusion draws a clear face."""
SCHEDULER = "karras"
GUIDANCE = 5.0
SHOWN = ("stylized", "source")
UNGUIDED = ""
"""The prompt that guidance leads away from."""
ROOM = 1.2
"""How many times the memory that the VAE asks for has to be free: it must not push the training over the edge."""


def encode_shown_prompts(inputs: Inputs) -> list[EncodedPrompt]:
    """What previews are drawn from: the prompts SHOWN, and for each the one without guidance."""
    texts = [getattr(inputs.prompts, name) for name in SHOWN]
    encoded = {text: encode_prompt(inputs.clip, inputs.clip.tokenize(text)) for text in {*texts, UNGUIDED}}
    return [encoded[text] for text in texts + [UNGUIDED] * len(texts)]


class TrainingPreview:
    """Draws with what ``learner`` has learned so far, always from the same noise of ``size`` (height, width).

    Nothing of the training is touched: no weight, no gradient, no random number.
    """

    def __init__(self, inputs: Inputs, learner: Learner, prompts: list[EncodedPrompt], size: tuple[int, int]):
        self._inputs, self._learner, self._prompts = inputs, learner, prompts
        generator = torch.Generator().manual_seed(inputs.settings.seed)
        channels = inputs.model.model.latent_format.latent_channels
        self._noise = torch.randn((1, channels, *size), generator=generator).repeat(len(SHOWN), 1, 1, 1)
        self._has_memory = True

    def __call__(self, history: LossHistory) -> Image.Image:
        """The picture of the training as it is; without samples from the first time that memory runs out on."""
        samples = {}
        if self._has_memory:
            try:
                samples = dict(zip(SHOWN, self._pictures(self._sample()), strict=True))
            except torch.OutOfMemoryError:
                self._has_memory = False
                comfy.model_management.soft_empty_cache()
                logging.warning("StyO: no memory is left to draw samples while training: showing the losses only.")
        terms = dict(zip(history.terms, history.known_terms().T.numpy(), strict=True))
        return training_picture(samples, terms, self._inputs.settings.steps)

    @torch.no_grad()
    def _sample(self) -> torch.Tensor:
        """Latents z [N, 4, h, w] of the prompts SHOWN."""
        condition = self._learner.condition(self._prompts)
        levels = self._learner.sigmas

        def denoised(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            comfy.model_management.throw_exception_if_processing_interrupted()
            t = (levels[:, None] - sigma).abs().argmin(0)
            sigma = sigma.view(-1, 1, 1, 1)
            z_t = x / (sigma**2 + 1) ** 0.5
            guided, unguided = self._learner.eps_theta(z_t.repeat(2, 1, 1, 1), t.repeat(2), condition).chunk(2)
            return x - sigma * (unguided + GUIDANCE * (guided - unguided))

        sampling = self._inputs.model.get_model_object(SAMPLING)
        sigmas = comfy.samplers.calculate_sigmas(sampling, SCHEDULER, STEPS).to(levels.device)
        noise = self._noise.to(levels.device)
        start = sampling.noise_scaling(sigmas[0], noise, torch.zeros_like(noise), max_denoise=True)
        return sample_dpmpp_2m(denoised, start, sigmas, disable=True)

    def _pictures(self, z: torch.Tensor) -> list[Image.Image]:
        """By the VAE if there is room for it beside the training, else ComfyUI's rough colours of a latent."""
        if not self._has_room_for_the_vae(z):
            latent_format = self._inputs.model.model.latent_format
            rough = Latent2RGBPreviewer(
                latent_format.latent_rgb_factors,
                latent_format.latent_rgb_factors_bias,
                latent_format.latent_rgb_factors_reshape,
            )
            return [rough.decode_latent_to_preview(latent[None]) for latent in z]
        with torch.inference_mode():
            pixels = self._inputs.vae.decode(self._inputs.model.model.process_latent_out(z))
        # Only the VAE is loaded: of the training ComfyUI knows nothing.
        comfy.model_management.unload_all_models()
        return [Image.fromarray((picture * 255).round().to(torch.uint8).cpu().numpy()) for picture in pixels]

    def _has_room_for_the_vae(self, z: torch.Tensor) -> bool:
        vae = self._inputs.vae
        needed = vae.memory_used_decode(z[:1].shape, vae.vae_dtype) + vae.model_size()
        return comfy.model_management.get_free_memory(vae.device) > ROOM * needed
