"""A training leaves everything else alone, repeats itself, and returns what it saved."""

import copy
import json
import logging
import random

import comfy.model_management
import comfy.sd
import comfy.utils
import numpy
import pytest
import safetensors
import torch
from idl_runs import (
    DEFAULTS,
    files,
    images,
    inputs,
    load,
    lora_loader,
    patched,
    picture,
    run,
    run_inputs,
    same,
)
from styo.bridge.weights_file import load_weights
from styo.nodes.training import StyOIDLTrain
from styo.training.prompts import Prompts
from tiny import WIDTH, make_clip, make_model, make_vae, sizes

METHODS = [
    {"method": method, "train_text_encoder": text}
    for method in ("full", "cross_attention", "lora")
    for text in (False, True)
] + [{"method": "lora", "train_text_encoder": False, "train_identifiers": True}]


def raw(patcher):
    """A copy of every stored weight."""
    return {key: value.detach().clone() for key, value in patcher.model.state_dict().items()}


def with_lora(model, seed=5):
    """``model`` with a user's LoRA on a self-attention and a cross-attention layer."""
    generator = torch.Generator().manual_seed(seed)
    lora = {}
    for layer in ("attn1", "attn2"):
        name = f"diffusion_model.middle_block.1.transformer_blocks.0.{layer}.to_q"
        lora[f"{name}.lora_up.weight"] = torch.randn((64, 4), generator=generator)
        lora[f"{name}.lora_down.weight"] = torch.randn((4, 64), generator=generator) * 0.1
    return comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]


def test_same_seed_same_weights_other_seed_other_weights(output):
    first, again, other = (run(seed=seed, filename_prefix=f"loras/{i}/idl")[2] for i, seed in enumerate((0, 0, 1)))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("changes", METHODS)
def test_everything_the_user_had_stays_as_it_is(output, changes):
    values = inputs(**changes)
    patchers = (values["model"][0], values["clip"][0].patcher, values["vae"][0].patcher)
    pictures = {name: [batch.clone() for batch in values[name]] for name in images()}
    before = [raw(patcher) for patcher in patchers]
    options = copy.deepcopy(values["model"][0].model_options)
    for seed_all in (torch.manual_seed, numpy.random.seed, random.seed):
        seed_all(7)
    states = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
    run_inputs(values)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == numpy.random.get_state()[1]).all()
    assert states[2] == random.getstate()
    assert all(same(weights, raw(patcher)) for weights, patcher in zip(before, patchers, strict=True))
    assert not any(patcher.patches for patcher in patchers)
    assert options == values["model"][0].model_options
    assert all(
        torch.equal(a, b) for name, batches in pictures.items() for a, b in zip(batches, values[name], strict=True)
    )


@pytest.mark.parametrize("changes", METHODS)
def test_lora_loader_gives_the_models_of_the_node(output, caplog, changes):
    values = inputs(**changes)
    model, clip, weights, _ = run_inputs(values)
    assert files(output) == ["loras/StyO/idl_00001_.safetensors"]
    assert same(weights, load(output / "loras/StyO/idl_00001_.safetensors"))
    with caplog.at_level(logging.WARNING):
        loaded_model, loaded_clip = lora_loader(values["model"][0], values["clip"][0], "StyO/idl_00001_.safetensors")
    assert not [record for record in caplog.records if "not loaded" in record.message.lower()]
    moved = 0
    for own, loaded, original in (
        (model, loaded_model, values["model"][0]),
        (clip.patcher, loaded_clip.patcher, values["clip"][0].patcher),
    ):
        own, loaded, original = patched(own), patched(loaded), patched(original)
        assert same(own, loaded)
        moved += sum(not torch.equal(own[key], original[key]) for key in own)
    assert moved > 0
    assert bool(clip.patcher.patches) == (changes["train_text_encoder"] or "train_identifiers" in changes)


@pytest.mark.parametrize(
    ("dtype", "changes"), [(torch.float16, {}), (torch.bfloat16, {"method": "lora", "train_text_encoder": True})]
)
def test_half_precision_models_train_as_their_float32_copies(output, dtype, changes):
    half, clip = make_model(dtype=dtype), make_clip(dtype=dtype)
    whole, whole_clip = make_model(), make_clip()
    whole.model.load_state_dict(
        {k: v.to(w.dtype) for (k, v), w in zip(raw(half).items(), raw(whole).values(), strict=True)}
    )
    whole_clip.cond_stage_model.load_state_dict({key: value.float() for key, value in raw(clip.patcher).items()})
    a = run(model=half, clip=clip, filename_prefix="loras/a/idl", **changes)[2]
    b = run(model=whole, clip=whole_clip, filename_prefix="loras/b/idl", **changes)[2]
    assert same(a, b)


def scaled_fp8(model):
    """MODELs with the Linear layers of ``model`` in fp8 with a scale, as ComfyUI loads such files, and in float32."""
    state = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    exact = make_model()
    for name, weight in model.model.diffusion_model.state_dict().items():
        state[name] = weight.clone()
        if name.endswith(".weight") and weight.ndim == 2:
            state[name] = (weight / (scale := weight.abs().max() / 448)).to(torch.float8_e4m3fn)
            state[name.replace(".weight", ".scale_weight")] = scale
            exact.model.diffusion_model.get_parameter(name).data.copy_(state[name].float() * scale)
    state, _ = comfy.utils.convert_old_quants(state)
    quantised = make_model(quant_config={"mixed_ops": True})
    assert not quantised.model.diffusion_model.load_state_dict(state, strict=False).missing_keys
    return quantised, exact


def test_a_model_in_scaled_fp8_trains_as_its_float32_copy(output):
    quantised, exact = scaled_fp8(make_model())
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([quantised])
    trained = run(model=quantised, filename_prefix="loras/a/idl")[2]
    assert same(trained, run(model=exact, filename_prefix="loras/b/idl")[2])


def test_a_users_lora_is_trained_on_top_of(output):
    model = with_lora(make_model())
    merged = make_model()
    for key, weight in patched(model).items():
        merged.model.state_dict()[key].copy_(weight)
    trained = run(model=model, filename_prefix="loras/a/idl")
    assert same(trained[2], run(model=merged, filename_prefix="loras/b/idl")[2])
    assert not same(trained[2], run(filename_prefix="loras/c/idl")[2])
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_q"
    expected = patched(model)[f"{key}.weight"] + trained[2][f"{key}.diff"].float()
    torch.testing.assert_close(patched(trained[0])[f"{key}.weight"], expected, rtol=0, atol=1e-6)


def test_models_loaded_under_inference_mode_can_be_trained(output):
    with torch.inference_mode():
        values = inputs(model=make_model(), clip=make_clip(), train_text_encoder=True)
        values["source_image"] = [picture(1)]
    assert same(run_inputs(values)[2], run(train_text_encoder=True, filename_prefix="loras/other/idl")[2])


def test_the_file_says_how_it_came_about(output):
    prompts = Prompts(style_repeats=2, subject="face")
    model = make_model()
    model.cached_patcher_init = (
        model.cached_patcher_init[0],
        ("/models/checkpoints/v1-5-pruned-emaonly-fp16.safetensors",),
    )
    loss = run(model=model, prompts=prompts, seed=3)[3]["loss"]
    with safetensors.safe_open(output / files(output)[0], framework="pt") as file:
        metadata = file.metadata()
    training = json.loads(metadata["styo.training"])
    assert json.loads(metadata["styo.prompts"]) == prompts.settings()
    assert training["steps"] == DEFAULTS["steps"] == len(loss)
    assert training["losses"] == loss
    assert training["seed"] == 3
    assert training["learning_rate"] == DEFAULTS["learning_rate"]
    assert metadata["styo.base_model"] == "v1-5-pruned-emaonly-fp16.safetensors"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/lora"


def test_names_are_unique_and_nothing_is_overwritten(output):
    run(seed=0, steps=2, save_every=1)
    first = (output / "loras/StyO/idl_00001_.safetensors").read_bytes()
    run(seed=1, steps=2, save_every=1)
    assert files(output) == [
        "loras/StyO/idl_00001_.safetensors",
        "loras/StyO/idl_00002_.safetensors",
        "loras/StyO/idl_step00001_00001_.safetensors",
        "loras/StyO/idl_step00001_00002_.safetensors",
    ]
    assert (output / "loras/StyO/idl_00001_.safetensors").read_bytes() == first
    assert files(output, "styo_training/*") == []


def test_saves_on_the_way_are_usable(output):
    values = inputs(steps=3, save_every=2)
    run_inputs(values)
    run(steps=2, filename_prefix="loras/short/idl")
    assert same(
        load(output / "loras/StyO/idl_step00002_00001_.safetensors"),
        load(output / "loras/short/idl_00001_.safetensors"),
    )
    lora_loader(values["model"][0], values["clip"][0], "StyO/idl_step00002_00001_.safetensors")


def test_a_finished_training_is_not_repeated(output, caplog):
    first = run()
    with caplog.at_level(logging.INFO):
        again = run()
    assert "already finished" in caplog.text
    assert same(first[2], again[2])
    assert first[3] == again[3]
    assert len(files(output)) == 1


@pytest.mark.parametrize(
    "pictures",
    [
        {"source_image": [picture(1, 90, 64)], "target_image": [picture(2, 64, 200)]},
        {"source_image": [picture(1, 64, 64, 4)], "target_image": [picture(2, 64, 64, 1)]},
        {"source_image": [picture(1, 40, 30)], "target_image": [picture(2, 300, 400), picture(3, 70, 80)]},
        {
            "source_image": [picture(1)],
            "target_image": [picture(2)],
            "auxiliary_images": [picture(3, 80, 70), picture(4, 64, 64, 4), torch.cat([picture(5), picture(6)])],
        },
    ],
    ids=["portrait_landscape", "rgba_gray", "small_and_several", "list_of_auxiliaries"],
)
def test_images_of_every_kind_are_taken(output, pictures):
    assert len(run(steps=1, **pictures)[3]["loss"]) == 1


def test_without_auxiliary_images_it_says_so_and_trains_two_terms(output, caplog):
    with caplog.at_level(logging.WARNING):
        two = run(**images(auxiliary=0))[3]["loss"][0]
    assert "without the auxiliary term" in caplog.text
    assert two / 2 == pytest.approx(run()[3]["loss"][0] / 3, rel=0.1)


def test_prompts_of_different_lengths_train_together(output):
    assert (
        len(run(steps=1, prompts=Prompts(style_repeats=8, content_repeats=8), train_text_encoder=True)[3]["loss"]) == 1
    )


def test_the_positions_of_a_long_text_encoder_are_trained(output):
    clip = make_clip(
        layers={**sizes(WIDTH, 2), "max_position_embeddings": 248}, tokenizer_data={"clip_l_max_length": 248}
    )
    prompts = Prompts(style_repeats=8, content_repeats=8)
    values = inputs(clip=clip, prompts=prompts, train_text_encoder=True, steps=1)
    weights = run_inputs(values)[2]
    moved = weights["text_encoders.clip_l.transformer.text_model.embeddings.position_embedding.diff"]
    assert moved.shape == (248, WIDTH)
    assert moved[77:].abs().sum() > 0


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_identifiers_change_no_other_word_and_take_little_room(output, family):
    values = inputs(layout=family, method="lora", train_identifiers=True)
    clip = run_inputs(values)[1]
    before, after = patched(values["clip"][0].patcher), patched(clip.patcher)
    moved = {key: (before[key] != after[key]).nonzero() for key in before}
    moved = {key: set(where[:, 0].tolist()) for key, where in moved.items() if len(where)}
    encoders = clip.tokenize("ak47 aug sks m4a1")
    assert len(moved) == len(encoders)
    for name, (entries,) in encoders.items():
        (rows,) = (rows for key, rows in moved.items() if f"clip_{name}." in key and "token_embedding" in key)
        assert rows == {token for token, _ in entries if 0 < token < 49406}
    assert (output / "loras/StyO/idl_00001_.safetensors").stat().st_size < 3e6


def test_clip_skip_trains_only_the_layers_it_leaves(output):
    clip = make_clip()
    clip.clip_layer(-2)
    weights = run(clip=clip, train_text_encoder=True)[2]
    assert any("encoder.layers.0." in key for key in weights)
    assert not any("encoder.layers.1." in key for key in weights)


def test_progress_reaches_the_page(output, monkeypatch):
    import comfy.utils
    import server

    sent, bar = [], []
    fake = type("Server", (), {"send_progress_text": lambda self, text, node_id: sent.append((text, node_id))})()
    monkeypatch.setattr(server.PromptServer, "instance", fake, raising=False)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *_, **__: bar.append((value, total)))
    from styo.bridge.node_text import NodeText
    from styo.bridge.progress import TrainingProgress
    from styo.training.history import LossHistory

    history = LossHistory(2, ["source", "target"], torch.device("cpu"))
    progress = TrainingProgress(2, 0, NodeText("12"))
    for terms in ([0.25, 0.75], [0.5, 1.5]):
        progress(history)
        history.append(torch.tensor(terms))
    progress(history)
    assert sent[-1] == ("step 2 of 2, loss 1.500", "12")
    assert bar[-1] == (2, 2)


@pytest.mark.parametrize(("method", "rate"), [("full", 1e-6), ("cross_attention", 1e-5), ("lora", 1e-4)])
def test_learning_rate_0_is_the_methods_own_and_the_same_training(output, caplog, method, rate):
    first = run(method=method, steps=2, learning_rate=0.0)
    with caplog.at_level(logging.INFO):
        assert same(first[2], run(method=method, steps=2, learning_rate=rate)[2])
    assert "already finished" in caplog.text
    assert not same(first[2], run(method=method, steps=2, learning_rate=rate * 1.01)[2])


def test_the_vae_is_not_asked_for_all_images_at_once(output):
    vae, sizes = make_vae(), []
    encode = vae.encode
    vae.encode = lambda pixels: sizes.append(len(pixels)) or encode(pixels)
    run(steps=1, vae=vae, **images(auxiliary=9))
    assert sizes == [1, 1, 4, 4, 1]


def test_warnings_stay_on_the_node(output, monkeypatch, caplog):
    import server

    sent = []
    fake = type("Server", (), {"send_progress_text": lambda self, text, node_id: sent.append((text, node_id))})()
    monkeypatch.setattr(server.PromptServer, "instance", fake, raising=False)
    values = inputs(steps=2, source_image=[picture(1)], target_image=[picture(1)])
    monkeypatch.setattr(StyOIDLTrain, "hidden", type("Hidden", (), {"unique_id": "7"}), raising=False)
    with torch.inference_mode():
        StyOIDLTrain.execute(**values)
    logging.getLogger().warning("StyO: after the run")
    text, node_id = sent[-1]
    *warnings, last = text.split("\n")
    assert node_id == "7"
    assert len(warnings) >= 2
    assert all(warning in caplog.text for warning in warnings)
    assert "without the auxiliary term" in text
    assert "source_image and target_image hold the same picture" in text
    assert "after the run" not in text
    assert last.startswith("step 2 of 2")


@pytest.mark.parametrize("trained, loaded", [(None, -2), (-2, None), (-2, -2)])
def test_the_file_knows_its_clip_skip(output, caplog, trained, loaded):
    values = inputs(steps=1)
    values["clip"][0].clip_layer(trained)
    run_inputs(values)
    clip = values["clip"][0].clone()
    clip.clip_layer(loaded)
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        load_weights(output / files(output)[0], values["model"][0], clip, 1.0)
    assert ("was trained with CLIP Set Last Layer at" in caplog.text) == (trained != loaded)
