"""Training on every family: eps and y as the sampler's, texts as CLIPTextEncode's, weights that stock nodes load."""

import comfy.model_management
import pytest
import tiny
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
from idl_runs import files, images, lora_loader, patched, run, same
from passes import Graph, sample
from safetensors.torch import save_file
from styo.bridge.conditioning import TextEmbedding, unet_inputs
from styo.bridge.learner import Learner
from styo.bridge.text_encoder_copy import TrainedTextEncoder, copy_text_encoder
from styo.bridge.unet_copy import copy_unet, eps_theta, noise_weights
from styo.training.losses import add_noise
from styo.training.prompts import Prompts

CPU = torch.device("cpu")
TIMESTEPS = [0, 10, 500, 998, 999]


def by_node(layout, sampling, zsnr):
    model = tiny.make_model(layout=layout)
    return ModelSamplingDiscrete().patch(model, sampling, zsnr)[0]


def by_config(layout, sampling, zsnr):
    return tiny.make_model(layout=layout, prediction={"eps": "EPS"}.get(sampling, sampling.upper()), zsnr=zsnr)


def texts(layout, count, generator):
    widths = list(tiny.ENCODERS[tiny.LAYOUTS[layout][0]].values())
    shapes = (1, 77, sum(widths)), (1, widths[-1])
    return [TextEmbedding(*(torch.randn(shape, generator=generator) for shape in shapes)) for _ in range(count)]


def relative(a, b):
    return float((a - b).norm() / b.norm())


def denoise(model, x, sigma, condition):
    """ComfyUI's own estimate of the clean latent, by the attention that is trained with and by ``model``'s sampling."""
    model.model.model_sampling = model.get_model_object("model_sampling")
    inputs = {"c_crossattn": condition["context"], **{k: v for k, v in condition.items() if k != "context"}}
    options = {"optimized_attention_override": lambda _, *args, **kwargs: attention_pytorch(*args, **kwargs)}
    return model.model.apply_model(x, sigma, transformer_options=options, **inputs)


SAMPLINGS = [("eps", False), ("v_prediction", False), ("v_prediction", True)]
FAMILIES = ["sd1", "sd2", "sdxl", "koala"]


@pytest.mark.parametrize(
    ("layout", "sampling", "zsnr", "make"),
    [
        (layout, *sampling, (by_node, by_config)[(row + column) % 2])
        for row, layout in enumerate(FAMILIES)
        for column, sampling in enumerate(SAMPLINGS)
    ],
)
def test_the_copy_predicts_the_noise_that_comfyui_samples_with(layout, sampling, zsnr, make):
    model = make(layout, sampling, zsnr)
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn((2, len(TIMESTEPS), 4, 8, 8), generator=generator)
    t = torch.tensor(TIMESTEPS)
    sigma = model.get_model_object("model_sampling").sigmas[t]
    condition = unet_inputs(model, texts(layout, len(TIMESTEPS), generator), z[:1], CPU)
    with torch.no_grad():
        x = z + sigma.view(-1, 1, 1, 1) * eps
        expected = (x - denoise(model, x, sigma, condition)) / sigma.view(-1, 1, 1, 1)
        predict = eps_theta(copy_unet(model), noise_weights(model), torch.float32)
        predicted = predict(add_noise(z, eps, sigma), t, condition)
    error = relative(predicted, expected)
    print(f"{layout}, {sampling}, zsnr {zsnr}, {make.__name__}: relative error of eps {error:.1e}")
    assert error < 1e-4


def test_the_weights_of_noise_and_velocity():
    """v = sqrt(abar) eps - sqrt(1 - abar) z (arXiv 2202.00512), solved for eps; nothing is done to a predicted eps."""
    assert torch.equal(noise_weights(tiny.make_model()), torch.tensor([[0.0], [1.0]]).expand(2, 1000))
    model = by_node("sd1", "v_prediction", True)
    abar = 1 / (model.get_model_object("model_sampling").sigmas.double() ** 2 + 1)
    expected = torch.stack([(1 - abar) ** 0.5, abar**0.5]).float()
    torch.testing.assert_close(noise_weights(model), expected, rtol=1e-6, atol=1e-9)


def test_the_gradient_is_autograds_through_comfyui():
    model = by_node("sdxl", "v_prediction", True)
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn((2, 2, 4, 8, 8), generator=generator)
    t = torch.tensor([300, 980])
    sigma = model.get_model_object("model_sampling").sigmas[t]
    condition = unet_inputs(model, texts("sdxl", 2, generator), z[:1], CPU)

    copy = copy_unet(model).requires_grad_(True)
    predicted = eps_theta(copy, noise_weights(model), torch.float32)(add_noise(z, eps, sigma), t, condition)
    ((eps - predicted) ** 2).mean().backward()

    unet = model.model.diffusion_model.requires_grad_(True)
    x = z + sigma.view(-1, 1, 1, 1) * eps
    clean = denoise(model, x, sigma, condition)
    ((eps - (x - clean) / sigma.view(-1, 1, 1, 1)) ** 2).mean().backward()
    ours = torch.cat([p.grad.flatten() for p in copy.parameters()])
    theirs = torch.cat([p.grad.flatten() for p in unet.parameters()])
    error = relative(ours, theirs)
    print(f"relative error of the gradient {error:.1e}")
    assert error < 1e-4


def sampled_inputs(model, positive, negative, side=8):
    """Everything that a sampler hands to the UNet for ``positive``, by name."""
    seen = {}

    def spy(executor, x, timesteps, context, y, *args, **kwargs):
        seen.update(context=context, y=y)
        return executor(x, timesteps, context, y, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "spy", spy)
    sample(model, positive, negative, {"samples": torch.zeros(1, 4, side, side)}, steps=1, cfg=1.0)
    return {name: value for name, value in seen.items() if value is not None}


@pytest.mark.parametrize(
    ("layout", "changes"),
    [
        ("sd1", {}),
        ("sd1", {"train_identifiers": True, "learning_rate": 1e-2}),
        ("sd2", {"train_text_encoder": True}),
        ("sdxl", {}),
        ("sdxl", {"train_text_encoder": True}),
        ("sdxl", {"train_identifiers": True, "learning_rate": 1e-2}),
    ],
)
def test_a_training_step_reads_what_the_sampler_will_hand_over(output, monkeypatch, layout, changes):
    learners, make = [], Learner.__init__

    def kept(learner, *args, **kwargs):
        make(learner, *args, **kwargs)
        learners.append(learner)

    monkeypatch.setattr(Learner, "__init__", kept)
    model, clip, *_ = run(layout=layout, steps=2, **changes)
    (learner,) = learners
    with torch.inference_mode():
        graph = Graph(layout=layout)
        tokens = clip.tokenize(Prompts().source)
        positive = clip.encode_from_tokens_scheduled(tokens)
        expected = sampled_inputs(model, positive, positive)
        untrained = sampled_inputs(graph.model, graph.source, graph.source)
        elsewhere = sampled_inputs(model, positive, positive, side=16)
    with torch.no_grad():
        condition = learner.condition(learner._prompts[:1])
    assert condition.keys() == expected.keys()
    assert ("y" in condition) == (layout == "sdxl")
    for name, value in condition.items():
        moved = relative(untrained[name], expected[name])
        assert (moved > 1e-3) == bool(changes)
        assert relative(value, expected[name]) < (0.05 * moved if changes else 1e-6), name
    if "y" in condition:
        assert relative(elsewhere["y"], expected["y"]) > 0.1, "a training at another size would read the same"


@pytest.mark.parametrize("family", list(tiny.ENCODERS))
def test_the_trainable_text_encoders_encode_as_clip_text_encode(tmp_path, family):
    widths = tiny.ENCODERS[family]
    vectors = {f"clip_{key}": torch.randn(2, width) for key, width in widths.items()}
    save_file(vectors if len(widths) > 1 else {"emb_params": vectors.popitem()[1]}, tmp_path / "face.safetensors")
    clip = tiny.make_clip(family=family, embedding_directory=[str(tmp_path)])
    prompts = [
        Prompts(),
        Prompts(subject="(portrait:1.3) of (a person:0.5)"),
        Prompts(style_repeats=8, content_repeats=8, subject="a (face:1.2)"),
        Prompts(subject="embedding:face smiling"),
    ]
    largest = 0
    for layer in (None, -1, -2, -3) if family != "sd1" else (None, -1, -2):
        clip.clip_layer(layer)
        copy = copy_text_encoder(clip)
        for prompt in prompts:
            tokens = clip.tokenize(prompt.source)
            with torch.no_grad():
                pairs = zip(
                    copy.encode_token_weights(tokens), clip.encode_from_tokens(tokens, return_pooled=True), strict=True
                )
                largest = max([largest, *(relative(ours, theirs) for ours, theirs in pairs)])
    print(f"{family}: largest relative error {largest:.1e}")
    assert largest < 1e-5


@pytest.mark.parametrize(
    ("family", "trained", "left_alone"),
    [
        ("sd1", ["clip_l final_layer_norm", "clip_l layers.1."], ["clip_l text_projection"]),
        ("sd2", ["clip_h final_layer_norm", "clip_h layers.2."], ["clip_h layers.3.", "clip_h text_projection"]),
        (
            "sdxl",
            ["clip_g layers.3.", "clip_g final_layer_norm", "clip_g text_projection", "clip_l layers.2."],
            ["clip_l layers.3.", "clip_l final_layer_norm", "clip_l text_projection"],
        ),
    ],
)
def test_what_the_unet_reads_of_the_text_encoders_is_trained(family, trained, left_alone):
    clip, model = tiny.make_clip(family=family), tiny.make_model(layout=family)

    def inputs_of(embeddings):
        return unet_inputs(model, embeddings, torch.zeros(1, 4, 8, 8), CPU)

    groups = TrainedTextEncoder(clip, [clip.tokenize(Prompts().source)], CPU, inputs_of).groups

    def is_trained(part):
        encoder, module = part.split()
        return any(f"{encoder}." in name and module in name for group in groups.values() for name in group)

    assert all(map(is_trained, trained))
    assert not any(map(is_trained, left_alone))
    for part, group in groups.items():
        layers = {name.partition(".layers.")[2].partition(".")[0] for name in group}
        assert len(layers) == 1, f"{part} holds the moments of several layers at once"


def losses(model, clip, vae_latents):
    """Equation 4's mean over fixed draws, by ComfyUI's own apply_model with the patches of ``model`` in place."""
    comfy.model_management.load_models_gpu([model])
    generator = torch.Generator().manual_seed(9)
    total = 0.0
    for text in (Prompts().source, Prompts().target):
        embedding = TextEmbedding(*clip.encode_from_tokens(clip.tokenize(text), return_pooled=True))
        z = vae_latents[text]
        condition = unet_inputs(model, [embedding] * 4, z[:1], CPU)
        t = torch.tensor([50, 300, 600, 900])
        sigma = model.get_model_object("model_sampling").sigmas[t]
        eps = torch.randn((4, 4, 8, 8), generator=generator)
        x = z + sigma.view(-1, 1, 1, 1) * eps
        predicted = (x - denoise(model, x, sigma, condition)) / sigma.view(-1, 1, 1, 1)
        total += float(((eps - predicted) ** 2).mean())
    return total


@pytest.mark.parametrize(
    ("make", "method", "train_text_encoder"),
    [
        (lambda: by_config("sdxl", "eps", False), "full", True),
        (lambda: by_config("sdxl", "v_prediction", True), "lora", False),
        (lambda: by_config("koala", "eps", False), "cross_attention", False),
        (lambda: by_config("sd2", "v_prediction", False), "full", False),
        (lambda: by_config("sd2", "eps", False), "lora", True),
        (lambda: by_node("sd1", "v_prediction", False), "cross_attention", True),
    ],
    ids=["SDXL", "SDXL v zsnr", "KOALA", "SD2 v", "SD2", "SD1 v by node"],
)
def test_training_learns_and_stock_loaders_give_the_returned_models(output, make, method, train_text_encoder):
    model = make()
    layout = {"SDXL": "sdxl", "KOALA_700M": "koala", "SD20": "sd2", "SD15": "sd1"}
    family = tiny.LAYOUTS[layout[type(model.model.model_config).__name__]][0]
    clip, vae = tiny.make_clip(family=family), tiny.make_vae()
    rate = 1e-2 if method == "lora" else 3e-3
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    settings = {"method": method, "steps": 5, "learning_rate": rate, "train_text_encoder": train_text_encoder}
    returned = run(model=model, clip=clip, vae=vae, **settings)
    with torch.inference_mode():
        process = model.get_model_object("latent_format").process_in
        pictures = images()
        latents = {
            Prompts().source: process(vae.encode(pictures["source_image"][0])),
            Prompts().target: process(vae.encode(pictures["target_image"][0])),
        }
        untrained, trained = losses(model, clip, latents), losses(returned[0], returned[1], latents)
        comfy.model_management.unload_all_models()
    print(f"{type(model.model.model_config).__name__} {method}: loss {untrained:.3f} -> {trained:.3f}")
    assert trained < 0.97 * untrained
    assert all(torch.equal(value, model.model.state_dict()[key]) for key, value in before.items())
    (name,) = files(output)
    loaded = lora_loader(model, clip, name.removeprefix("loras/"))
    assert same(patched(loaded[0]), patched(returned[0]))
    assert same(patched(loaded[1].patcher), patched(returned[1].patcher))
    assert same(patched(clip.patcher), patched(returned[1].patcher)) != train_text_encoder
