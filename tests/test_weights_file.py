"""StyO Load Weights gives back what was trained, or one sentence on what the file is."""

import json

import folder_paths
import pytest
import safetensors.torch
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
from idl_runs import patched, run, same
from styo.nodes.weights import StyOLoadWeights
from styo.training.prompts import Prompts
from tiny import LAYOUTS, make_clip, make_model

PROMPTS = Prompts(style_repeats=2, negator="without")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bytes of a small weights file, and the MODEL and CLIP the training returned."""
    folder = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_paths, "output_directory", str(folder))
        model, clip, *_ = run(steps=1, method="lora", train_text_encoder=True, prompts=PROMPTS)
    return (folder / "loras/StyO/idl_00001_.safetensors").read_bytes(), model, clip


@pytest.fixture
def file(output, trained):
    """A weights file among the loras."""
    path = output / "loras" / "styo.safetensors"
    path.parent.mkdir()
    path.write_bytes(trained[0])
    return path


def load_weights(name="styo.safetensors", strength=1.0, model=None, clip=None):
    node = StyOLoadWeights.PREPARE_CLASS_CLONE(None)
    model, clip = model or make_model(), clip or make_clip()
    with torch.inference_mode():
        return node.execute(model=model, clip=clip, weights_name=name, strength=strength).args


def rewrite(path, tensors=None, **metadata):
    """Change some tensors or metadata of a weights file; None removes."""
    with safetensors.safe_open(path, framework="pt") as opened:
        old = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        kept = {**opened.metadata(), **metadata}
    kept = {key: value for key, value in kept.items() if value is not None}
    safetensors.torch.save_file({**old, **(tensors or {})}, path, metadata=kept)


def refuse(sentence, name="styo.safetensors", **changes):
    with pytest.raises(ValueError, match=sentence) as error:
        load_weights(name, **changes)
    assert str(error.value).startswith("weights_name: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_models_and_prompts_come_back(file, trained):
    model, clip, prompts = load_weights()
    assert same(patched(model), patched(trained[1]))
    assert same(patched(clip.patcher), patched(trained[2].patcher))
    assert prompts == PROMPTS


def test_strength_scales_and_zero_changes_nothing(file):
    plain, half, whole = make_model(), load_weights(strength=0.5)[0], load_weights()[0]
    assert same(patched(load_weights(strength=0.0)[0]), patched(plain))
    for key, weight in patched(plain).items():
        torch.testing.assert_close(
            patched(half)[key] - weight, (patched(whole)[key] - weight) / 2, rtol=1e-3, atol=1e-7
        )
        break


def test_a_changed_file_is_read_again(file):
    before = StyOLoadWeights.fingerprint_inputs(weights_name="styo.safetensors")
    rewrite(file, extra="1")
    assert StyOLoadWeights.fingerprint_inputs(weights_name="styo.safetensors") != before


@pytest.mark.parametrize("part", [0, 4, 100, -1000])
def test_truncated(file, part):
    file.write_bytes(file.read_bytes()[:part])
    refuse("damaged or no safetensors file")


@pytest.mark.parametrize(
    "tensors, metadata, kind",
    [
        ({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, {"ss_steps": "1"}, "an ordinary LoRA"),
        ({"model.diffusion_model.x": torch.zeros(2)}, None, "a whole checkpoint"),
        ({"first_stage_model.x": torch.zeros(2)}, None, "a VAE"),
        ({"emb_params": torch.zeros(2)}, None, "a textual-inversion embedding"),
        ({"something": torch.zeros(2)}, None, "no StyO metadata"),
    ],
)
def test_foreign(file, tensors, metadata, kind):
    safetensors.torch.save_file(tensors, file, metadata=metadata)
    refuse(f"no StyO weights file.*{kind}")


def test_other_formats(file):
    path = file.with_name("pickle.pt")
    torch.save({"x": torch.zeros(2)}, path)
    refuse("no safetensors file", name="pickle.pt")


@pytest.mark.parametrize("name", ["gone.safetensors", "../../../etc/passwd"])
def test_absent(file, name):
    refuse("there is no file", name=name)


@pytest.mark.parametrize(
    "prompts",
    [
        "",
        "not json",
        "[1, 2]",
        "[" * 100_000,
        json.dumps({**PROMPTS.settings(), "evil": 1}),
        json.dumps({**PROMPTS.settings(), "source_style": 7}),
        json.dumps({**PROMPTS.settings(), "source_style": ["a"]}),
        json.dumps({**PROMPTS.settings(), "style_repeats": 10**9}),
        json.dumps({**PROMPTS.settings(), "subject": "x" * 2_000_000}),
        json.dumps({**PROMPTS.settings(), "target_style": "embedding:x"}),
    ],
    ids=["empty", "text", "list", "deep", "unknown_field", "number", "list_field", "repeats", "huge", "syntax"],
)
def test_hostile_prompts(file, prompts):
    rewrite(file, **{"styo.prompts": prompts})
    refuse("styo.prompts")


def test_a_later_format(file):
    rewrite(file, **{"styo.format": "2"})
    refuse("format '2'")


@pytest.mark.parametrize(
    "key, tensor, sentence",
    [
        ("diffusion_model.out.2.diff_b", torch.tensor([1.0, float("nan"), 0, 0]), "nan or infinite"),
        ("diffusion_model.out.2.diff_b", torch.full((4,), float("inf")), "nan or infinite"),
        ("diffusion_model.out.2.diff_b", torch.zeros(5), "which has other layers"),
        ("diffusion_model.out.2.diff", torch.zeros(4), "which has other layers"),
        ("diffusion_model.nowhere.diff", torch.zeros(4), "which has other layers"),
        ("diffusion_model.out.2.diff_b", torch.zeros(4, dtype=torch.int64), "which has other layers"),
        ("diffusion_model.out.2.alpha", torch.zeros(3), "which has other layers"),
        ("diffusion_model.out.2.set_weight", torch.zeros(3), "which has other layers"),
    ],
)
def test_hostile_tensors(file, key, tensor, sentence):
    rewrite(file, {key: tensor})
    refuse(sentence)


def velocity(model):
    return ModelSamplingDiscrete().patch(model, "v_prediction", False)[0]


@pytest.mark.parametrize(
    ("base", "onto", "said"),
    [
        ("sdxl", "sd1", "was trained on a Stable Diffusion XL model (SDXL); `model` is Stable Diffusion 1.x (SD15)."),
        ("sd1", "sdxl", "was trained on a Stable Diffusion 1.x model (SD15); `model` is Stable Diffusion XL (SDXL)."),
        ("sd2", "sd1", "was trained on a Stable Diffusion 2.x model (SD20); `model` is Stable Diffusion 1.x (SD15)."),
        ("vega", "sdxl", "was trained on Segmind_Vega; `model` is SDXL, which has other layers ("),
        ("sdxl", "koala", "was trained on SDXL; `model` is KOALA_700M, which has other layers ("),
        ("sd1", "sd1 v", "was trained on a model that predicts noise (eps) (SD15); `model` predicts velocity (v_pred"),
        ("sd1 v", "sd1", "was trained on a model that predicts velocity (v_prediction) (SD15); `model` predicts noise"),
    ],
)
def test_another_base_is_named_beside_the_files_own(output, base, onto, said):
    def parts(name):
        layout, _, v = name.partition(" ")
        model = make_model(layout=layout)
        return {"model": velocity(model) if v else model, "clip": make_clip(family=LAYOUTS[layout][0])}

    run(**parts(base), steps=1, method="lora", filename_prefix="loras/other")
    with pytest.raises(ValueError) as error:
        load_weights("other_00001_.safetensors", **parts(onto))
    print(error.value)
    assert str(error.value).startswith(f"weights_name: other_00001_.safetensors {said}")
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)
    assert load_weights("other_00001_.safetensors", **parts(base))[2] == Prompts()


def test_no_tensors(file):
    with safetensors.safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    safetensors.torch.save_file({}, file, metadata=metadata)
    refuse("holds no weights")


def test_a_good_load_follows_a_bad_one(file):
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    refuse("damaged")
    file.write_bytes(whole)
    assert load_weights()[2] == PROMPTS


def test_sockets_are_the_contract():
    schema = StyOLoadWeights.GET_SCHEMA()
    assert [i.id for i in schema.inputs] == ["model", "clip", "weights_name", "strength"]
    assert [o.io_type for o in schema.outputs] == ["MODEL", "CLIP", "STYO_PROMPTS"]
    assert all(i.tooltip for i in schema.inputs)
