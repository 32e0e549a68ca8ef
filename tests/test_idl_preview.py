"""Pictures while it trains: they show what the weights give, and the training does not notice them."""

import json
import logging
import random

import comfy.model_management
import numpy as np
import pytest
import safetensors
import torch
from idl_runs import files, images, inputs, run_inputs, same
from passes import empty_latent, sample
from PIL import Image
from styo.bridge import training_preview
from styo.bridge.progress import TrainingProgress
from styo.bridge.training_preview import GUIDANCE, SCHEDULER, SHOWN, TrainingPreview
from styo.nodes.prompts import StyOEncodePrompts
from styo.nodes.training import StyOIDLTrain
from styo.training.training_picture import COLOURS, SIZE, smoothed, training_picture

NODE = "12"
STEPS = 2
"""Of a sample; enough where it does not matter how good the picture is."""


@pytest.fixture(autouse=True)
def few_sampling_steps(monkeypatch):
    monkeypatch.setattr(training_preview, "STEPS", STEPS)


@pytest.fixture
def page(monkeypatch):
    """What reaches the page: {"texts": [...], "pictures": {step: Image}}."""
    import comfy.utils
    import server

    seen = {"texts": [], "pictures": {}}

    class Server:
        def send_progress_text(self, text, node_id):
            assert node_id == NODE
            seen["texts"].append(text)

    def hook(value, _total, preview=None, node_id=None):
        if preview:
            kind, picture, _ = preview
            assert kind == "JPEG"
            seen["pictures"][value] = picture

    monkeypatch.setattr(server.PromptServer, "instance", Server(), raising=False)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    return seen


def run(**changes):
    """(model, clip, weights, loss) of the node with the id NODE."""
    values = inputs(**changes)
    with torch.inference_mode():
        node = StyOIDLTrain.PREPARE_CLASS_CLONE({"hidden_inputs": {}})
        node.hidden.unique_id = NODE
        return node.execute(**values).args


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "lora", "precision": "fp16", "gradient_checkpointing": True},
        {"method": "cross_attention", "precision": "bf16", "train_text_encoder": True},
    ],
)
def test_previews_never_change_the_training(output, page, changes):
    for seed_all in (torch.manual_seed, np.random.seed, random.seed):
        seed_all(7)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with_pictures = run(preview_every=2, filename_prefix="loras/a/idl", **changes)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all() and states[2] == random.getstate()
    without = run(preview_every=0, filename_prefix="loras/b/idl", **changes)
    assert sorted(page["pictures"]) == [2]
    assert same(with_pictures[2], without[2])
    assert with_pictures[3] == without[3]
    fingerprints = set()
    for name in files(output):
        with safetensors.safe_open(output / name, framework="pt") as file:
            fingerprints.add(json.loads(file.metadata()["styo.training"])["fingerprint"])
    assert len(fingerprints) == 1


@pytest.mark.parametrize("changes", [{}, {"train_text_encoder": True, "learning_rate": 1e-2}])
def test_a_preview_shows_what_a_sampler_gives_with_the_weights_so_far(output, page, monkeypatch, changes):
    drawn = []
    pictures = TrainingPreview._pictures
    monkeypatch.setattr(TrainingPreview, "_pictures", lambda self, z: drawn.append(z) or pictures(self, z))
    values = inputs(steps=2, preview_every=1, seed=3, **changes)
    model, clip, _, _ = run_inputs(values)
    with torch.inference_mode():
        source, _, _, stylized = StyOEncodePrompts.execute(clip, values["prompts"][0]).args
        unguided = clip.encode_from_tokens_scheduled(clip.tokenize(""))
        expected = [
            sample(model, prompt, unguided, empty_latent(), "dpmpp_2m", SCHEDULER, GUIDANCE, seed=3, steps=STEPS)
            for prompt in (stylized, source)
        ]
    assert SHOWN == ("stylized", "source")
    for z, latent in zip(drawn[-1], expected, strict=True):
        expected_z = model.model.process_latent_in(latent["samples"][0])
        torch.testing.assert_close(z, expected_z, rtol=0, atol=5e-3 * float(expected_z.abs().max()))
    assert not torch.allclose(drawn[0], drawn[1], atol=1e-3)


def test_pictures_come_every_so_many_steps(output, page):
    run(steps=5, preview_every=2)
    assert sorted(page["pictures"]) == [2, 4]


def test_without_room_for_the_vae_samples_are_shown_in_rough_colours(output, page, monkeypatch):
    monkeypatch.setattr(training_preview, "ROOM", float("inf"))
    values = inputs(steps=1, preview_every=1)
    monkeypatch.setattr(values["vae"][0], "decode", None)
    run_inputs(values)
    assert sorted(page["pictures"]) == [1]


def test_running_out_of_memory_for_a_preview_does_not_end_the_training(output, page, monkeypatch, caplog):
    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    expected = run(filename_prefix="loras/a/idl")
    monkeypatch.setattr(TrainingPreview, "_sample", full)
    with caplog.at_level(logging.WARNING):
        weights = run(preview_every=1, filename_prefix="loras/b/idl")[2]
    assert same(weights, expected[2])
    assert sorted(page["pictures"]) == [1, 2, 3]
    assert caplog.text.count("showing the losses only") == 1


def last_lines(page):
    """What the node said last each time, below its warnings."""
    return [text.splitlines()[-1] for text in page["texts"]]


def test_cancelling_a_preview_saves_and_says_where_it_goes_on(output, page, monkeypatch):
    def cancel(_):
        raise comfy.model_management.InterruptProcessingException

    expected = run(steps=5, filename_prefix="loras/a/idl")
    monkeypatch.setattr(TrainingPreview, "_sample", cancel)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(steps=5, preview_every=3, filename_prefix="loras/b/idl")
    assert last_lines(page)[-1] == "saved at step 3; Run goes on from there"
    _, _, weights, loss = run(steps=5, filename_prefix="loras/b/idl")
    assert same(weights, expected[2])
    assert loss == expected[3]


def test_cancelling_before_the_first_step_promises_nothing(output, page, monkeypatch):
    def cancel(*_):
        raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(TrainingProgress, "__call__", cancel)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run()
    assert last_lines(page)[-1] == "cancelled before anything was learned"


def test_the_node_says_what_it_is_doing(output, page, monkeypatch):
    monkeypatch.setattr("styo.bridge.progress.SECONDS_BETWEEN_TEXTS", 0)
    run(steps=4, **images(auxiliary=3))
    texts = last_lines(page)
    assert "encoding 5 images" in texts
    assert any(text.startswith("step 2 of 4, loss ") and text.endswith(" s left") for text in texts)
    assert texts[-1].startswith("step 4 of 4, loss ") and "left" not in texts[-1]


@pytest.mark.parametrize("auxiliary", [0, 2])
def test_the_loss_map_holds_the_terms_that_make_the_loss(output, auxiliary):
    values = inputs(**images(auxiliary))
    loss = run_inputs(values)[3]
    names = ["source", "target", "auxiliary"][: 3 if auxiliary else 2]
    assert list(loss) == ["loss", *names]
    np.testing.assert_allclose(loss["loss"], np.sum([loss[name] for name in names], axis=0), rtol=1e-6)
    assert run_inputs(values)[3] == loss, "a finished training is not repeated, and its file holds them too"


def test_the_loss_map_is_what_plot_loss_graph_takes(output):
    from comfy_extras.nodes_train import LossGraphNode

    drawn = LossGraphNode.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).execute(run()[3], "graph")
    assert drawn.ui is not None


def test_curves_are_smoothed_by_the_losses_around_them():
    losses = np.random.default_rng().random(60)
    losses[10] = np.nan
    keep = 1 - 10 / 60
    for i, value in enumerate(smoothed(losses)):
        seen = [(keep ** (i - k - (k < 10 <= i)), losses[k]) for k in range(i + 1) if k != 10]
        expected = sum(w * loss for w, loss in seen) / sum(w for w, _ in seen)
        assert np.isnan(value) if i == 10 else value == pytest.approx(expected)


def test_the_picture_has_both_samples_above_a_curve_for_each_term():
    samples = {"stylized": Image.new("RGB", (8, 8), (255, 0, 0)), "source": Image.new("RGB", (8, 8), (0, 0, 255))}
    terms = {name: np.full(200, level) for name, level in zip(COLOURS, (0.3, 0.2, 0.1), strict=True)}
    pixels = np.asarray(training_picture(samples, terms, 400)).astype(int)
    half = SIZE[0] // 2
    assert (pixels[120, half // 2] == (255, 0, 0)).all() and (pixels[120, half + half // 2] == (0, 0, 255)).all()
    curves = {name: np.argwhere((pixels[348:] == colour).all(-1)) for name, colour in COLOURS.items()}
    heights = [curves[name][:, 0].mean() for name in ("source", "target", "auxiliary")]
    assert heights == sorted(heights), "the largest loss is on top"
    assert all(half - 8 <= points[:, 1].max() <= half + 8 for points in curves.values()), "half of the steps are done"
    for name, colour in COLOURS.items():
        assert (pixels[310:344] == colour).all(-1).any(), f"{name} is in the legend"


def test_a_picture_can_be_drawn_before_anything_is_known():
    assert training_picture({}, {name: [] for name in COLOURS}, 400).size == SIZE
    assert training_picture({}, {"source": [np.nan, 0.0]}, 2).size == SIZE
