"""StyO Demo Model and StyO Demo Portraits."""

import numpy as np
import pytest
import torch
from styo.bridge.model_kind import native_resolution, require_match
from styo.demo import held_out, triples, weights
from styo.demo.portraits import Content, Identity, Style, render
from styo.demo.triples import Triple
from styo.nodes.demo import StyODemoModel, StyODemoPortraits

CHOICE = {"seed": 3, "source_identity": 5, "target_identity": 9, "target_style": "pencil", "auxiliary_count": 4}


def portraits(**changes):
    """source_image, target_image, auxiliary_images and ground_truth of StyO Demo Portraits."""
    return StyODemoPortraits.execute(**{**CHOICE, **changes}).args


def test_portraits_are_images_of_the_size_the_model_knows():
    for images, count in zip(portraits(), (1, 1, 4, 1), strict=True):
        assert images.shape == (count, 128, 128, 3) and images.dtype == torch.float32
        assert images.min() >= 0 and images.max() <= 1


def test_the_ground_truth_is_the_person_of_the_photo_drawn_as_the_artwork():
    source, target, _, truth = portraits()
    triple = Triple.of(held_out.TUNING_SEED, 5, 9, "pencil", 3)
    assert np.array_equal(truth[0], render(triple.source, triple.style))
    assert np.array_equal(source[0], render(triple.source, triple.photo))
    assert np.array_equal(target[0], render(triple.target, triple.style))
    assert triple.source.identity == held_out.identity(5, held_out.TUNING_SEED)


def test_another_style_leaves_the_photo_and_the_other_faces_alone():
    source, target, others, truth = portraits()
    same_source, new_target, same_others, new_truth = portraits(target_style="riso")
    assert torch.equal(source, same_source) and torch.equal(others, same_others)
    assert not torch.equal(target, new_target) and not torch.equal(truth, new_truth)


def test_the_auxiliary_faces_all_differ():
    _, _, others, _ = portraits(auxiliary_count=40)
    assert len({image.numpy().tobytes() for image in others}) == 40


def test_the_auxiliary_faces_are_of_nobody_held_out(monkeypatch):
    rng = np.random.default_rng(0)
    others = [Identity.sample(rng) for _ in range(3)]
    kept_back = [held_out.identity(5, seed) for seed in (held_out.EVALUATION_SEED, held_out.TUNING_SEED)]
    assert not any(map(held_out.is_held_out, others))
    drawn = iter([kept_back[0], others[0], kept_back[1], *others[1:]])
    monkeypatch.setattr(Identity, "sample", classmethod(lambda cls, rng: next(drawn)))
    monkeypatch.setattr(triples, "render", lambda content, style: content.identity)
    assert list(triples.auxiliary_images(3, held_out.TUNING_SEED, seed=0)) == others


def test_the_demo_model_is_a_stable_diffusion_1_model_to_every_node():
    model, clip, _ = StyODemoModel.execute().args
    require_match(model, clip)
    assert native_resolution(model.clone()) == 128, "training at its own size would warn, and 0 would mean 512"


def test_its_vae_gives_portraits_back():
    _, _, vae = StyODemoModel.execute().args
    rng = np.random.default_rng(0)
    faces = [
        render(Content.sample(rng), Style.sample(rng, family)) for family in ("photo", "cel", "poster", "watercolour")
    ]
    pictures = torch.from_numpy(np.stack(faces))
    with torch.inference_mode():
        back = vae.decode(vae.encode(pictures)).cpu()
    error = (back - pictures).abs().mean((1, 2, 3))
    flat = (pictures - pictures.mean((1, 2), keepdim=True)).abs().mean((1, 2, 3))
    assert (error < 0.5 * flat).all(), "no better than half way from a picture of one colour"


def test_without_its_weights_the_node_says_how_to_get_them_back(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PATH", tmp_path / "model.safetensors")
    with pytest.raises(weights.MissingWeights, match=r"git checkout.*train_demo_model") as error:
        StyODemoModel.execute()
    assert str(tmp_path / "model.safetensors") in str(error.value)
