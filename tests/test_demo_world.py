"""What the demo model is trained on, what is kept from it, and how its parts become ComfyUI's."""

import argparse
import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import train_demo_model
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from latent_preview import Latent2RGBPreviewer
from safetensors.torch import load_file
from styo.bridge.unet_copy import PlainLayers
from styo.demo import held_out, words
from styo.demo.autoencoder import Autoencoder
from styo.demo.comfy_model import load_demo_model
from styo.demo.portraits import FAMILIES, Content, Identity, Style, features, render
from styo.demo.pretraining import autoencoder, denoiser, fit, layout, make, optimizers, parallel, pictures
from styo.demo.pretraining.captions import IDENTIFIERS, LENGTH, Captions
from styo.demo.pretraining.first_attention import attend_to_identifiers
from styo.demo.pretraining.layout import PARTS
from styo.demo.pretraining.text_encoder import BATCH, TextEncoder, initialize
from styo.demo.shapes import BLOCK, CLIP, LATENT_CHANNELS, LATENT_SIDE, RESOLUTION, UNET
from styo.demo.weights import PATH, Weights
from styo.styo_attention.columns import split_heads
from styo.training.prompts import Prompts

ROOT = Path(__file__).resolve().parent.parent


def test_training_sees_no_style_of_evaluation_and_tuning(monkeypatch):
    families = set()
    sample = Style.sample.__func__

    def watched(cls, rng, family):
        families.add(family)
        return sample(cls, rng, family)

    monkeypatch.setattr(Style, "sample", classmethod(watched))
    rng = np.random.default_rng(0)
    styles = [held_out.open_style(rng) for _ in range(2000)]
    assert set(held_out.HELD_OUT_FAMILIES) <= set(FAMILIES)
    assert families == set(FAMILIES) - set(held_out.HELD_OUT_FAMILIES)
    assert not any(map(held_out.is_held_out_style, styles))


@pytest.mark.parametrize("family", held_out.HELD_OUT_FAMILIES)
def test_training_draws_another_where_a_free_style_is_of_a_held_out_family(monkeypatch, family):
    rng = np.random.default_rng(0)
    kept_back = [Style.sample(rng, family) for _ in range(20)]
    assert all(map(held_out.is_held_out_style, kept_back))
    nearly = [Style.from_vector(style.vector + 0.1) for style in kept_back]
    assert all(map(held_out.is_held_out_style, nearly))
    drawn = iter([*kept_back, *nearly, other := Style()])
    monkeypatch.setattr(Style, "free", classmethod(lambda cls, rng: next(drawn)))
    monkeypatch.setattr(held_out, "FREE_SHARE", 1)
    assert held_out.open_style(rng) is other


@pytest.mark.parametrize("seed", [held_out.EVALUATION_SEED, held_out.TUNING_SEED])
def test_training_draws_another_where_a_person_is_held_out(monkeypatch, seed):
    person, other = held_out.identity(3, seed), Identity.sample(np.random.default_rng(0))
    assert not held_out.is_held_out(other)
    drawn = iter([person, Identity.from_vector(person.vector + 0.1), other])
    monkeypatch.setattr(Identity, "sample", classmethod(lambda cls, rng: next(drawn)))
    content, _ = held_out.pretraining_portrait(np.random.default_rng(0))
    assert content.identity == other


@pytest.mark.parametrize("seed", [held_out.EVALUATION_SEED, held_out.TUNING_SEED])
def test_a_held_out_person_and_their_near_doubles_are_recognised(seed):
    person = held_out.identity(3, seed)
    assert held_out.is_held_out(person)
    assert held_out.is_held_out(Identity.from_vector(person.vector + 0.1))


def test_evaluation_and_tuning_share_no_person_and_no_style():
    seeds = (held_out.EVALUATION_SEED, held_out.TUNING_SEED)
    sets = [held_out.identity(number, seed).vector for seed in seeds for number in range(held_out.IDENTITIES)]
    apart = [np.sqrt(((a - b) ** 2).mean()) for i, a in enumerate(sets) for b in sets[:i]]
    assert min(apart) > held_out.LEAST_DISTANCE
    assert not set(held_out.EVALUATION_FAMILIES) & set(held_out.TUNING_FAMILIES)


def test_rare_words_mean_what_training_could_have_shown():
    learned = torch.randn(words.CHANNELS)
    table = words.token_table({320: learned})
    assert table.shape == (words.VOCABULARY, words.CHANNELS)
    assert torch.equal(table[320], learned)
    rare = (table[1000:1100] / words.CODE_SCALE).numpy()
    assert len(np.unique(rare, axis=0)) > 90
    for code in rare:
        assert not held_out.is_held_out_style(Style.from_vector(code[words.STYLE]))
        assert not held_out.is_held_out(Identity.from_vector(code[words.CONTENT][: len(Identity.FIELDS)]))
        assert not code[words.PERSON.stop :].any(), "how the head is held is not told"


def test_captions_are_styos_prompts_with_codes_in_the_places_of_identifiers():
    captions = Captions.make()
    table = torch.nn.Embedding(len(captions.words), words.CHANNELS)
    codes = torch.rand(6, words.CONTENT.stop)
    kinds = torch.arange(1, 1 + 2 * captions.auxiliary, 16)
    embedded = captions.embed(kinds, codes, table, torch.Generator().manual_seed(0))
    assert embedded.shape == (6, LENGTH, words.CHANNELS)
    for row, kind in enumerate(kinds):
        for identifier, part in ((0, words.STYLE), (2, words.PERSON)):
            found = embedded[row, captions.places[identifier, kind], part]
            assert torch.allclose(found, words.CODE_SCALE * codes[row, part].expand_as(found))
        elsewhere = ~captions.places[:, kind].any(0)
        assert torch.equal(embedded[row, elsewhere], table(captions.text[kind, elsewhere]))
        assert captions.places[2, kind].any() == (kind > captions.auxiliary)


def test_only_identifiers_in_their_own_place_tell_of_the_picture():
    captions = Captions.make()
    codes = torch.rand(3, words.CONTENT.stop)
    with_both, without_content = 2 * captions.auxiliary, captions.auxiliary
    kinds = torch.tensor([0, without_content, with_both])
    told = captions.told(kinds, codes)
    for row, kind in enumerate(kinds):
        for place in range(LENGTH):
            expected = torch.zeros(words.CONTENT.stop)
            for identifier, part in ((0, words.STYLE), (2, words.PERSON)):
                if captions.places[identifier, kind, place]:
                    expected[part] = codes[row, part]
            assert torch.equal(told[row, place], expected)
    assert [int(row.any(-1).sum()) for row in told] == [0, 3, 6], "three repeats of each"


def test_every_kind_of_caption_is_drawn():
    captions = Captions.make()
    kinds = captions.draw(4000, torch.Generator().manual_seed(0))
    assert set(kinds.tolist()) == set(range(1 + 2 * captions.auxiliary))
    assert 0.05 < float((kinds == 0).float().mean()) < 0.15


def test_identifiers_of_the_captions_are_plain_words():
    style, other_style, content, other_content = IDENTIFIERS
    Prompts(style, other_style, content, other_content)


def some_portraits(count):
    rng = np.random.default_rng(0)
    pictures = np.stack([render(*held_out.pretraining_portrait(rng)) for _ in range(count)])
    return torch.from_numpy(np.round(255 * pictures).astype(np.uint8)).movedim(-1, 1)


def test_the_encoder_is_the_principal_components_of_blocks():
    """Against numpy's singular value decomposition: no linear map of so few values keeps more of the blocks."""
    portraits = some_portraits(12)
    vae = Autoencoder()
    vae.solve(portraits)
    x = portraits.float() / 255
    with torch.no_grad():
        z = vae.encode(x)
        found = vae.decode(z)
    assert z.shape == (12, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE)
    blocks = x.double().unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK).movedim(1, 3).reshape(-1, 3 * BLOCK**2).numpy()
    mean = blocks.mean(0)
    _, _, components = np.linalg.svd(blocks - mean, full_matrices=False)
    kept = components[:LATENT_CHANNELS]
    least = np.square((blocks - mean) @ (np.eye(len(mean)) - kept.T @ kept)).mean()
    np.testing.assert_allclose(float((found - x).square().mean()), least, rtol=1e-3)
    spreads = z.double().square().mean((0, 2, 3))
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(LATENT_CHANNELS), rtol=0, atol=1e-3)
    torch.testing.assert_close(spreads.mean(), torch.tensor(1.0).double(), rtol=1e-3, atol=0)
    assert (spreads.diff() < 0).all(), "coarse structure first"


def test_comfyuis_vae_and_previews_are_those_of_the_autoencoder():
    model, _, vae = load_demo_model()
    ours = Autoencoder()
    ours.load_state_dict(Weights.load(PATH).vae)
    picture = some_portraits(1).float() / 255
    with torch.inference_mode():
        z = ours.encode(picture)
        torch.testing.assert_close(vae.encode(picture.movedim(1, -1)), z, rtol=1e-4, atol=1e-4)
        expected = ours.decode(z).clamp(0, 1).movedim(1, -1)
        torch.testing.assert_close(vae.decode(z), expected, rtol=1e-4, atol=1e-4)
        colour = torch.tensor([0.8, 0.6, 0.3])
        flat = ours.encode(colour[None, :, None, None].expand(1, 3, RESOLUTION, RESOLUTION))
    latent_format = model.get_model_object("latent_format")
    factors, bias = latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias
    previewer = Latent2RGBPreviewer(factors, bias)
    seen = np.asarray(previewer.decode_latent_to_preview(latent_format.process_in(flat))) / 255
    assert seen.shape == (LATENT_SIDE, LATENT_SIDE, 3)
    np.testing.assert_allclose(seen, np.broadcast_to(colour, seen.shape), atol=0.05)


@pytest.fixture
def rendered_here(monkeypatch):
    """Pictures are rendered by a thread instead of by processes, four at a time."""
    monkeypatch.setattr(pictures, "CHUNK", 4)
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", lambda *_: concurrent.futures.ThreadPoolExecutor(1))


def test_a_training_makes_a_weights_file_and_goes_on_where_it_stopped(tmp_path, monkeypatch, rendered_here):
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_SAVES", 0)
    monkeypatch.setattr(make, "TOLD", 16)
    for name, value in {"EXAMPLES": 64, "BATCH": 8, "FIRST": 8, "USES": 4}.items():
        monkeypatch.setattr(denoiser, name, value)
    monkeypatch.setattr(make, "SHOWN", 2)
    monkeypatch.setattr(autoencoder, "SOLVED_FOR", 8)

    def train(folder):
        make.make_demo_model(folder, make.Plan(8, 2, 8, 16), 1, None, "cpu", folder / "model.safetensors")
        return load_file(folder / "model.safetensors")

    once = train(tmp_path / "once")
    assert {name.partition(".")[0] for name in once} == {"unet", "text", "vae", "words"}

    draw, draws = Captions.draw, []

    def stop_at_the_last_step(self, count, generator):
        draws.append(count)
        if len(draws) == 6:
            raise KeyboardInterrupt
        return draw(self, count, generator)

    monkeypatch.setattr(Captions, "draw", stop_at_the_last_step)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped")
    assert not (tmp_path / "stopped/model.safetensors").exists(), "half-trained weights in the place of the model"
    stopped = train(tmp_path / "stopped")
    assert draws[:2] == [BATCH] * 2 and draws[3:6] == [denoiser.BATCH] * 3, "all five steps, the last of them stopped"
    assert draws[6:] == [denoiser.EXAMPLES, denoiser.BATCH], "the last step again, after what every UNet begins with"
    for name, value in once.items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(stopped[name], value), name

    (tmp_path / "once/model.safetensors").unlink()
    written_anew = train(tmp_path / "once")
    assert written_anew.keys() == once.keys()
    for name, value in once.items():
        assert torch.equal(written_anew[name], value), name

    first, further = tmp_path / "once/model.safetensors", tmp_path / "further.safetensors"
    make.make_demo_model(tmp_path / "once", make.Plan(8, 0, 0, 8), 1, None, "cpu", further, first)
    trained_on = load_file(further)
    assert not torch.equal(trained_on["unet.out.2.weight"], once["unet.out.2.weight"])
    for name, value in once.items():
        if name.startswith("unet"):
            torch.testing.assert_close(trained_on[name], value, rtol=0.05, atol=0.01, msg=name)
        else:
            torch.testing.assert_close(trained_on[name], value, rtol=2e-3, atol=1e-4, msg=name)


def test_a_weights_file_can_be_written_again(tmp_path):
    shipped = Weights.load(PATH)
    shipped.save(tmp_path / "again.safetensors", {})
    again = Weights.load(tmp_path / "again.safetensors")
    for part in ("unet", "text", "vae", "words"):
        before, after = getattr(shipped, part), getattr(again, part)
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_stream_brings_the_same_portraits_whatever_the_portions(rendered_here):
    def same(a, b):
        return torch.equal(a.pictures, b.pictures) and torch.equal(a.codes, b.codes) and torch.equal(a.masks, b.masks)

    with pictures.Stream(5, 1) as stream:
        whole = stream.at(0, 10)
        assert same(stream.at(3, 2) + stream.at(5, 3), whole[3:8])
        assert not same(stream.at(8, 2), whole[:2])
    with pictures.Stream(6, 1) as other:
        assert not same(other.at(0, 10), whole)
    for picture, code in zip(whole.pictures, whole.codes.numpy(), strict=True):
        content, style = Content.from_vector(code[words.CONTENT]), Style.from_vector(code[words.STYLE])
        expected = torch.from_numpy(255 * render(content, style)).movedim(-1, 0)
        assert float((picture - expected).abs().max()) <= 1, "rounded, of parameters that were clipped"


def some_codes(count):
    return pictures.drawn_codes(count, 9).numpy()


def test_masks_are_where_the_renderer_draws_the_parts():
    codes = some_codes(12)
    found = dict(zip(PARTS, layout.masks(codes).swapaxes(0, 1), strict=True))
    assert all(part.min() >= 0 and part.max() <= 1 for part in found.values())
    for number, code in enumerate(codes):
        content, style = Content.from_vector(code[words.CONTENT]), Style.from_vector(code[words.STYLE])
        points = features(content, dataclasses.replace(style, wobble=-1.0))

        def at(part, name, points=points, number=number):
            x, y = (min(max(int(16 * place), 0), 15) for place in points[name])
            return found[part][number, y, x]

        bare = dataclasses.replace(content.identity, hair_length=-1.0, fringe=-1.0)
        bald = layout.masks(np.concatenate([code[words.STYLE], bare.vector, content.pose.vector])[None])[0]
        assert at("mouth", "mouth") > 0.3 and at("wall", "mouth") < 0.1
        x, y = (int(16 * place) for place in points["left_eye"])
        assert bald[PARTS.index("eyes"), y, x] > 0.3 and bald[PARTS.index("face"), y, x] > 0.9
        assert found["body"][number, 15].max() > 0.5 and found["wall"][number, 0].max() > 0.5
    whole = found["face"] + found["hair"] + found["body"] + found["wall"]
    assert abs(float(whole.mean()) - 1) < 0.05, "together they cover the picture, once"


def test_a_portrait_that_is_seen_elsewhere_is_the_same_moved_or_mirrored():
    latents = torch.randn(40, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=torch.Generator().manual_seed(0))
    moved = denoiser.elsewhere(latents, torch.Generator().manual_seed(1))
    most = range(-denoiser.MOVED, denoiser.MOVED + 1)
    inner = slice(denoiser.MOVED, -denoiser.MOVED)
    found = set()
    for before, after in zip(latents, moved, strict=True):
        cases = {}
        for right, down, mirrored in itertools.product(most, most, (False, True)):
            expected = before.roll((down, right), (1, 2))
            cases[right, down, mirrored] = (expected.flip(2) if mirrored else expected)[:, inner, inner]
        (case,) = [case for case, expected in cases.items() if torch.equal(expected, after[:, inner, inner])]
        found.add(case)
    assert len(found) > 20 and {mirrored for *_, mirrored in found} == {False, True}


def test_forced_maps_lie_where_the_parts_are_and_open_ones_leave_the_other_columns():
    """Four heads, of which the first and third read styles, the others contents; then the next four."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(4, len(PARTS), 16, 16, generator=generator)
    content, style = torch.zeros(2, 4, LENGTH, dtype=torch.bool)
    content[:3, 9:13], style[:, 4:7] = True, True
    forced, open_ = torch.tensor([True, True, False, True]), torch.tensor([False, True, False, False])
    q, k = torch.randn(4, 4, 256, 8, generator=generator), torch.randn(4, 4, LENGTH, 8, generator=generator)
    v = torch.eye(LENGTH).expand(4, 4, -1, -1)
    own = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)

    def flat(x):
        return x.transpose(1, 2).flatten(2)

    laid_out = layout.Layout(masks, content, style, forced, open_)

    def call():
        return split_heads(laid_out(None, flat(q), flat(k), flat(v), 4), 4)

    def shares(caption, head, part):
        """What a head has on content, style and all else at each position, [3, 256]."""
        reads = layout.LEAST + layout.SPAN * masks[caption, part].flatten()
        stray = torch.full_like(reads, layout.STRAY)
        on_content = (reads if head % 2 else stray) * bool(content[caption].any())
        on_style = stray if head % 2 else torch.full_like(reads, layout.ON_STYLES)
        return torch.stack([on_content, on_style, 1 - on_content - on_style])

    def masses(maps, caption):
        groups = (content[caption], style[caption], ~content[caption] & ~style[caption])
        return torch.stack([maps[:, group].sum(-1) for group in groups])

    missed = []
    for first in (0, 2):
        maps, parts = call(), {1: first, 3: first + 1}
        for head in range(4):
            part = parts.get(head, 0)
            for caption in (0, 3):
                torch.testing.assert_close(masses(maps[caption, head], caption), shares(caption, head, part))
            torch.testing.assert_close(masses(maps[1, head], 1)[0], shares(1, head, part)[0])
            right, found = shares(2, head, part), masses(own[2, head], 2)
            missed.append((right * (right / found).log()).sum(0).mean())
        torch.testing.assert_close(maps[1][..., ~content[1]], own[1][..., ~content[1]])
        torch.testing.assert_close(maps[2], own[2])
    torch.testing.assert_close(laid_out.error, torch.stack(missed).mean())
    assert laid_out.placed.tolist() == [True, True, False, False]


def test_the_script_makes_a_weights_file_and_refuses_what_it_cannot_do(tmp_path):
    script = [sys.executable, str(ROOT / "scripts/train_demo_model.py")]
    steps = ["--autoencoder-pictures=1", "--text-encoder-steps=0", "--high-noise-latents=0", "--denoiser-latents=1"]
    folders = ["--folder", str(tmp_path / "work"), "--output", str(tmp_path / "made.safetensors")]
    subprocess.run([*script, *steps, *folders, "--device=cpu", "--workers=1"], check=True)
    assert load_file(tmp_path / "made.safetensors").keys() == load_file(PATH).keys()
    for refused in ("--processes=3", "--autoencoder-pictures=0", "--denoiser-latents=0"):
        found = subprocess.run([*script, refused], capture_output=True, text=True)
        assert found.returncode == 2 and refused.partition("=")[0] in found.stderr.splitlines()[-1]


@pytest.mark.parametrize(("device", "latents"), [("cpu", 288_000), ("cuda", 563_200)])
def test_a_cpu_is_asked_for_less_than_an_accelerator_and_the_command_line_for_whatever_it_says(device, latents):
    given = argparse.Namespace(**dict.fromkeys(train_demo_model.AMOUNTS))
    found = make.Plan(**train_demo_model.amounts(given, device))
    assert found.denoiser_latents == latents
    given.text_encoder_steps = 0
    assert make.Plan(**train_demo_model.amounts(given, device)) == dataclasses.replace(found, text_encoder_steps=0)


def test_the_text_encoder_reads_captions_as_comfyuis_clip_does():
    trained = TextEncoder(words=11)
    clip = tiny.make_clip(layers=CLIP)
    encoder = clip.cond_stage_model.clip_l.transformer
    encoder.text_model.load_state_dict(trained.text.state_dict(), strict=False)
    tokens = clip.tokenize(Prompts().source)
    embeddings = encoder.get_input_embeddings().weight[[entry[0] for entry in tokens["l"][0]]]
    with torch.inference_mode():
        expected = clip.encode_from_tokens(tokens)
        torch.testing.assert_close(trained.context(embeddings[None]), expected, rtol=1e-3, atol=1e-4)


def test_attention_begins_in_the_columns_of_the_identifiers():
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNetModel(**UNET, dtype=torch.float32, operations=PlainLayers)
        initialize(unet)
    columns = torch.zeros(2, 64, LENGTH, dtype=torch.bool)
    columns[0, :, 5], columns[1, :, 9] = True, True
    roles = torch.randn(2, words.CHANNELS, generator=generator)
    context = torch.randn(64, LENGTH, words.CHANNELS, generator=generator) + columns.float().movedim(0, -1) @ roles

    def masses():
        masses = []

        def watch(plain, q, k, v, heads, *args, **kwargs):
            if k.shape[1] == LENGTH:
                q_, k_ = split_heads(q, heads), split_heads(k, heads)
                maps = (q_ @ k_.transpose(-1, -2) * q_.shape[-1] ** -0.5).softmax(-1)
                masses.extend(maps[:, h, :, (5, 9)[h % 2]].mean() for h in range(heads))
            return plain(q, k, v, heads, *args, **kwargs)

        noise = torch.randn(8, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            unet(
                noise,
                torch.full((8,), 500.0),
                context=context[:8],
                transformer_options={"optimized_attention_override": watch},
            )
        return torch.stack(masses)

    assert float(masses().max()) < 2 / LENGTH
    with fit.seeded():
        attend_to_identifiers(unet, context, columns)
    assert float(masses().min()) > 5 / LENGTH and float(masses().mean()) > 10 / LENGTH


@pytest.mark.parametrize("shape", [(8, 40), (40, 8)])
def test_muon_steps_as_torchs_own_does(shape):
    generator = torch.Generator().manual_seed(0)
    ours, torchs = ([torch.nn.Parameter(torch.ones(shape)) for _ in range(3)] for _ in range(2))
    muon = optimizers.Muon(ours)
    options = {"lr": 0.1, "weight_decay": optimizers.WEIGHT_DECAY, "adjust_lr_fn": "match_rms_adamw"}
    reference = torch.optim.Muon(torchs, **options)
    muon.param_groups[0]["lr"] = 0.1
    for _ in range(3):
        for one, other in zip(ours, torchs, strict=True):
            one.grad = torch.randn(shape, generator=generator)
            other.grad = one.grad.clone()
        muon.step()
        reference.step()
    for one, other in zip(ours, torchs, strict=True):
        assert float((other.detach() - 1).abs().mean()) > 0.02
        torch.testing.assert_close(one, other, rtol=0, atol=0.005)  # torch computes in bfloat16


def test_an_accelerator_draws_noise_of_its_own_by_the_same_generator(monkeypatch):
    monkeypatch.setattr(fit, "on_accelerator", lambda device: True)
    drawn = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        drawn.append([fit.normal((4, 500), generator, torch.device("cpu")) for _ in range(2)])
    (first, second), again, other = drawn
    assert torch.equal(first, again[0]) and torch.equal(second, again[1])
    for noise in (second, other[0]):
        assert not torch.equal(noise, first)
    assert abs(float(first.mean())) < 0.1 and abs(float(first.std()) - 1) < 0.1


def test_a_convolution_is_stepped_alike_in_either_memory_format():
    generator = torch.Generator().manual_seed(0)
    weight, gradient = (torch.randn(6, 5, 3, 3, generator=generator) for _ in range(2))
    stepped = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layer = torch.nn.Conv2d(5, 6, 3)
        layer.weight.data = weight.clone(memory_format=memory_format)
        layer.weight.grad, layer.bias.grad = gradient.clone(), torch.zeros(6)
        optimizers.Optimizers(layer).step(0.1)
        stepped.append(layer.weight.detach())
    assert not torch.allclose(stepped[0], weight)
    torch.testing.assert_close(*stepped)


def fit_a_layer(x, state):
    """A layer fitted to give zero for ``x`` [N, 3], its state in the file; returns the layer, and what it began as."""
    with fit.seeded():
        module = torch.nn.Linear(3, 4)
        first = module.weight.detach().clone()
    fit.fit(module, lambda *_: (module(x) ** 2).mean(), 20, 0.1, state)
    return module, first


def one_of_two(rank, port, x, state):
    """What torch's launcher tells each of two processes, and its half of the work."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    parallel.join()
    assert parallel.processes() == 2
    fit_a_layer(x.chunk(2)[parallel.rank()], state)


def test_two_processes_train_as_one_does(tmp_path):
    x = torch.arange(24.0).view(8, 3).sin()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=one_of_two, args=(n, port, x, tmp_path / "two.pt"), daemon=True) for n in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    together = torch.load(tmp_path / "two.pt", weights_only=True)["module"]
    module, first = fit_a_layer(x, tmp_path / "one.pt")
    assert not torch.allclose(module.weight, first)
    for name, weight in module.state_dict().items():
        torch.testing.assert_close(together[name], weight)
