"""What the demo model is trained on, what is kept from it, and how its parts become ComfyUI's."""

import comfy.sd
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from styo.demo import held_out, words
from styo.demo.autoencoder import ThinAutoencoder, taesd_weights
from styo.demo.portraits import FAMILIES, Style, render
from styo.demo.pretraining import fit, make
from styo.demo.pretraining.captions import IDENTIFIERS, LENGTH, Captions
from styo.demo.pretraining.denoiser import Denoiser
from styo.demo.shapes import CLIP, LATENT_SCALE
from styo.training.prompts import Prompts


def test_training_sees_no_identity_and_no_style_of_evaluation_and_tuning(monkeypatch):
    families = set()
    sample = Style.sample.__func__

    def watched(cls, rng, family=None):
        families.add(family)
        return sample(cls, rng, family)

    monkeypatch.setattr(Style, "sample", classmethod(watched))
    rng = np.random.default_rng(0)
    people = [held_out.pretraining_portrait(rng)[0].identity for _ in range(2000)]
    assert not any(map(held_out.is_held_out, people))
    kept_back = {*held_out.EVALUATION_FAMILIES, *held_out.TUNING_FAMILIES}
    assert kept_back <= set(FAMILIES)
    assert families == set(FAMILIES) - kept_back


@pytest.mark.parametrize("seed", [held_out.EVALUATION_SEED, held_out.TUNING_SEED])
def test_a_held_out_person_and_their_near_doubles_are_recognised(seed):
    person = held_out.identity(3, seed)
    assert held_out.is_held_out(person)
    assert held_out.is_held_out(type(person).from_vector(person.vector + 0.1))


def test_evaluation_and_tuning_share_no_person_and_no_style():
    seeds = (held_out.EVALUATION_SEED, held_out.TUNING_SEED)
    sets = [held_out.identity(number, seed).vector for seed in seeds for number in range(held_out.IDENTITIES)]
    apart = [np.sqrt(((a - b) ** 2).mean()) for i, a in enumerate(sets) for b in sets[:i]]
    assert min(apart) > held_out.LEAST_DISTANCE
    assert not set(held_out.EVALUATION_FAMILIES) & set(held_out.TUNING_FAMILIES)


def test_captions_are_styos_prompts_with_codes_in_the_places_of_identifiers():
    captions = Captions.make()
    table = torch.nn.Embedding(len(captions.words), words.CHANNELS)
    codes = torch.rand(6, words.CONTENT.stop)
    kinds = torch.arange(1, 1 + 2 * captions.auxiliary, 16)
    embedded = captions.embed(kinds, codes, table, torch.Generator().manual_seed(0))
    assert embedded.shape == (6, LENGTH, words.CHANNELS)
    for row, kind in enumerate(kinds):
        for identifier, part in ((0, words.STYLE), (2, words.CONTENT)):
            found = embedded[row, captions.places[identifier, kind], part]
            assert torch.allclose(found, words.CODE_SCALE * codes[row, part].expand_as(found))
        elsewhere = ~captions.places[:, kind].any(0)
        assert torch.equal(embedded[row, elsewhere], table(captions.text[kind, elsewhere]))
        assert captions.places[2, kind].any() == (kind > captions.auxiliary)


def test_every_kind_of_caption_is_drawn():
    captions = Captions.make()
    kinds = captions.draw(4000, torch.Generator().manual_seed(0))
    assert set(kinds.tolist()) == set(range(1 + 2 * captions.auxiliary))
    assert 0.05 < float((kinds == 0).float().mean()) < 0.15


def test_identifiers_of_the_captions_are_plain_words():
    style, other_style, content, other_content = IDENTIFIERS
    Prompts(style, other_style, content, other_content)


def test_the_thin_autoencoder_is_comfyuis_taesd():
    thin = ThinAutoencoder()
    generator = torch.Generator().manual_seed(0)
    for parameter in thin.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
        torch.nn.init.normal_(parameter, std=fan_in**-0.5, generator=generator)
    thin.spread.running_mean.uniform_(-1, 1, generator=generator)
    thin.spread.running_var.uniform_(0.5, 2, generator=generator)
    thin.eval()
    vae = comfy.sd.VAE(sd=taesd_weights(thin))
    picture = torch.rand(1, 128, 128, 3, generator=generator)
    with torch.inference_mode():
        z = thin.encode(picture.movedim(-1, 1))
        torch.testing.assert_close(vae.encode(picture).float() * LATENT_SCALE, z, rtol=1e-3, atol=1e-3)
        expected = thin.decode(z).clamp(0, 1).movedim(1, -1)
        torch.testing.assert_close(vae.decode(z / LATENT_SCALE).float(), expected, rtol=1e-3, atol=2e-3)
    assert float(z.std()) > 0.1 and float(expected.std()) > 0.01, "the test would not notice two black boxes"


def test_a_training_makes_a_weights_file_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    portraits = [held_out.pretraining_portrait(np.random.default_rng(n)) for n in range(16)]
    seen = np.stack([np.round(255 * render(*portrait)) for portrait in portraits]).astype(np.uint8)
    codes = np.stack([np.concatenate([style.vector, content.identity.vector]) for content, style in portraits])
    monkeypatch.setattr(make, "rendered", lambda *_: (seen, codes))
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_SAVES", 0)

    def train(folder):
        make.make_demo_model(folder, len(seen), 2, 3, 1, "cpu", folder / "model.safetensors")
        return load_file(folder / "model.safetensors")

    (tmp_path / "once").mkdir(), (tmp_path / "stopped").mkdir()
    once = train(tmp_path / "once")
    assert {name.partition(".")[0] for name in once} == {"unet", "text", "vae", "words"}

    draw, draws = Captions.draw, []

    def stop_at_the_last_step(self, count, generator):
        draws.append(count)
        if len(draws) == 3:
            raise KeyboardInterrupt
        return draw(self, count, generator)

    monkeypatch.setattr(Captions, "draw", stop_at_the_last_step)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped")
    stopped = train(tmp_path / "stopped")
    assert len(draws) == 4, "two steps, the one that was stopped, and that one again"
    for name, value in once.items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(stopped[name], value), name


def test_the_denoiser_reads_captions_as_comfyuis_clip_does():
    denoiser = Denoiser(words=11)
    clip = tiny.make_clip(layers=CLIP)
    encoder = clip.cond_stage_model.clip_l.transformer
    encoder.text_model.load_state_dict(denoiser.text.state_dict(), strict=False)
    tokens = clip.tokenize(Prompts().source)
    embeddings = encoder.get_input_embeddings().weight[[entry[0] for entry in tokens["l"][0]]]
    with torch.inference_mode():
        expected = clip.encode_from_tokens(tokens)
        torch.testing.assert_close(denoiser.context(embeddings[None]), expected, rtol=1e-3, atol=1e-4)
