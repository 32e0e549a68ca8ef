"""What a training is for: each prompt learns its own image and not the others."""

import torch
from idl_runs import inputs, run_inputs
from styo.training.prompts import Prompts

DRAWS = 12
STEPS = 160


def shades(red, green, blue):
    """An IMAGE [1, 64, 64, 3] of three planes, each constant or a [64, 64] pattern."""
    return torch.stack([torch.as_tensor(plane).float().expand(64, 64) for plane in (red, green, blue)], dim=-1)[None]


RAMP = torch.linspace(0, 1, 64)
STRIPES = (torch.arange(64) // 16 % 2)[:, None]
PICTURES = {
    "source_image": [shades(RAMP, RAMP, 0)],
    "target_image": [shades(1, STRIPES, STRIPES)],
    "auxiliary_images": [shades(1 - RAMP[:, None], 0.5, 1 - RAMP[:, None])],
}


def loss_matrix(model, clip, vae):
    """Mean ||eps - eps_theta||^2 [prompt, image] for source, target, auxiliary on one set of draws."""
    import comfy.model_management

    prompts = Prompts()
    generator = torch.Generator().manual_seed(99)
    comfy.model_management.load_models_gpu([model])
    net = model.model
    latents = [net.process_latent_in(vae.encode(batch[0]))[:1] for batch in PICTURES.values()]
    contexts = [clip.encode_from_tokens(clip.tokenize(t)) for t in (prompts.source, prompts.target, prompts.auxiliary)]
    sigma = net.model_sampling.sigmas[torch.linspace(100, 900, DRAWS).long()]
    eps = torch.randn((DRAWS, *latents[0].shape[1:]), generator=generator)
    rows = []
    for context in contexts:
        row = []
        for z in latents:
            x = z + sigma.view(-1, 1, 1, 1) * eps
            denoised = net.apply_model(x, sigma, c_crossattn=context.expand(DRAWS, -1, -1), transformer_options={})
            row.append((((x - denoised) / sigma.view(-1, 1, 1, 1) - eps) ** 2).mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def test_each_prompt_learns_its_own_image(output):
    values = inputs(steps=STEPS, learning_rate=3e-3, **PICTURES)
    model, clip, vae = values["model"][0], values["clip"][0], values["vae"][0]
    for parameter in vae.first_stage_model.quant_conv.parameters():
        parameter.data.mul_(8)  # latents of about unit deviation, as a real VAE's
    with torch.inference_mode():
        before = loss_matrix(model, clip, vae)
    trained_model, trained_clip, _, loss = run_inputs(values)
    with torch.inference_mode():
        after = loss_matrix(trained_model, trained_clip, vae)
    print(f"\nloss of prompt (row) on image (column): source, target, auxiliary\nbefore\n{before}\nafter\n{after}")
    assert len(loss["loss"]) == STEPS
    for own in range(3):
        others = [column for column in range(3) if column != own]
        assert after[own, own] < before[own, own]
        assert after[own, own] < after[own, others].min()
