"""Every bad input of StyO IDL Train ends in one sentence that says what to change, before anything is trained."""

import comfy.hooks
import comfy.sd
import folder_paths
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from idl_runs import files, inputs, picture, run, run_inputs
from styo.bridge import output_files
from styo.nodes.training import StyOIDLTrain
from tiny import make_clip, make_model, make_vae


def refuse(sentence, **changes):
    with pytest.raises(ValueError, match=sentence) as error:
        run(**changes)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 300
    assert text.endswith(".")


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": -3}, "steps is -3"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"learning_rate": -1e-6}, "learning_rate is -1e-06"),
        ({"learning_rate": 1.0}, "learning_rate is 1.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"learning_rate": "fast"}, "learning_rate is fast"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is"),
        ({"rank": 0}, "rank is 0"),
        ({"resolution": 100}, "resolution is 100"),
        ({"save_every": -1}, "save_every is -1"),
        ({"optimizer": "sgd"}, "optimizer is sgd: it must be one of adam, adafactor"),
        ({"preview_every": -1}, "preview_every is -1"),
        ({"method": "dreambooth"}, "method is dreambooth"),
        ({"precision": "fp8"}, "precision is fp8"),
    ],
)
def test_settings_out_of_range(output, changes, sentence):
    refuse(sentence, **changes)
    assert files(output, "**/*") == []


@pytest.mark.parametrize("socket", ["source_image", "target_image", "auxiliary_images"])
@pytest.mark.parametrize(
    "bad, sentence",
    [
        (torch.full((1, 64, 64, 3), float("nan")), "nan or infinite"),
        (torch.full((1, 64, 64, 3), float("inf")), "nan or infinite"),
        (torch.zeros(64, 64, 3), "has the shape"),
        (torch.zeros(1, 4, 8, 8), "has the shape"),
        (torch.zeros(0, 64, 64, 3), "has the shape"),
    ],
)
def test_images_that_are_none(output, socket, bad, sentence):
    pictures = {"source_image": [picture(1)], "target_image": [picture(2)], socket: [bad]}
    refuse(f"{socket}.*{sentence}", **pictures)
    assert files(output, "**/*.safetensors") == []


def test_a_vae_with_values_that_are_none(output):
    vae = make_vae()
    vae.encode = lambda pixels: torch.full((len(pixels), 4, 8, 8), float("nan"))
    refuse("`vae` gives values that are nan or infinite: start ComfyUI without --fp16-vae", vae=vae)


def test_a_vae_with_other_latents(output):
    vae = make_vae()
    vae.encode = lambda pixels: torch.zeros(len(pixels), 16, 8, 8)
    refuse("`vae` is not that of a Stable Diffusion 1.x model", vae=vae)


@pytest.mark.parametrize("prefix", ["../outside", "loras/../../outside", "/tmp/outside", "", "loras/", "loras/.."])
def test_prefixes_that_lead_nowhere(output, prefix):
    refuse("filename_prefix", filename_prefix=prefix)
    assert not (output.parent / "outside").exists()
    assert files(output, "**/*.safetensors") == []


def test_a_prefix_below_a_file(output):
    (output / "loras").write_text("a file where a folder should be")
    refuse("filename_prefix", filename_prefix="loras/StyO/idl")


def test_a_folder_that_cannot_be_written(output, monkeypatch):
    def denied(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(output_files.tempfile, "TemporaryFile", denied)
    refuse("cannot be written to .Permission denied.")


def test_a_disk_that_is_too_small(output, monkeypatch):
    monkeypatch.setattr(output_files.shutil, "disk_usage", lambda _: _Usage(1000))
    refuse("GB left and this training writes up to")


class _Usage:
    def __init__(self, free):
        self.free = free


def test_a_prefix_outside_loras_is_saved_and_logged(output, caplog):
    run(filename_prefix="elsewhere/idl", steps=1)
    assert files(output, "**/*.safetensors") == ["elsewhere/idl_00001_.safetensors"]
    assert "LoRA loaders list files below loras/ only" in caplog.text


def test_a_good_run_follows_a_bad_one(output):
    values = inputs(steps=1)
    with pytest.raises(ValueError, match="nan"):
        run_inputs({**values, "source_image": [torch.full((1, 64, 64, 3), float("nan"))]})
    assert len(run_inputs(values)[3]["loss"]) == 1


def test_sockets_are_the_contract():
    schema = StyOIDLTrain.GET_SCHEMA()
    assert [i.id for i in schema.inputs] == [
        *("model", "clip", "vae", "prompts", "source_image", "target_image", "auxiliary_images"),
        *("method", "steps", "learning_rate", "seed", "filename_prefix"),
        *("train_text_encoder", "rank", "resolution", "precision", "gradient_checkpointing", "save_every"),
        "optimizer",
        "preview_every",
        "train_identifiers",
    ]
    assert [o.io_type for o in schema.outputs] == ["MODEL", "CLIP", "LORA_MODEL", "LOSS_MAP"]
    assert all(i.tooltip for i in schema.inputs)
    rate = next(i for i in schema.inputs if i.id == "learning_rate")
    assert rate.min == rate.default == 0
    assert rate.round <= 1e-8


def test_files_of_a_run_are_listed_by_lora_loaders(output):
    run(steps=1)
    assert folder_paths.get_filename_list("loras") == ["StyO/idl_00001_.safetensors"]


LAYER = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_q"
LORA = {f"{LAYER}.lora_up.weight": torch.ones(64, 4), f"{LAYER}.lora_down.weight": torch.ones(4, 64)}


def unchanged(value, *_):
    return value


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: m.add_object_patch(f"{LAYER}.forward", unchanged), "a replaced part"),
        (lambda m: m.add_weight_wrapper(f"{LAYER}.weight", unchanged), "a function on its weights"),
        (lambda m: m.set_model_unet_function_wrapper(unchanged), "a function around its calls"),
        (lambda m: m.set_model_attn2_patch(unchanged), "a change of its layers .attn2_patch"),
        (lambda m: m.set_model_attn2_replace(unchanged, "middle", 0), "a change of its layers .attn2"),
        (lambda m: m.set_model_output_block_patch(unchanged), "a change of its layers .output_block_patch"),
        (
            lambda m: m.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "cache", unchanged),
            "a wrapper of its calls .cache",
        ),
    ],
)
def test_what_training_would_not_see_of_a_model(output, change, words):
    model = make_model()
    change(model)
    refuse(f"`model` carries {words}.*put the node that makes it behind StyO IDL Train", model=model)


def test_loras_in_bypass_mode(output):
    model, clip = comfy.sd.load_bypass_lora_for_models(make_model(), make_clip(), LORA, 1.0, 1.0)
    refuse("`model` carries a LoRA in bypass mode.*load it with Load LoRA instead", model=model, clip=clip)


def test_a_clip_with_hooks(output):
    clip = make_clip()
    clip.patcher.forced_hooks = comfy.hooks.create_hook_lora(LORA, 1.0, 1.0)
    refuse("`clip` carries hooks that change its weights", clip=clip)


def test_a_compiled_model_is_trained(output):
    model = make_model()
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "torch.compile", unchanged)
    assert len(run(model=model, steps=1)[3]["loss"]) == 1


class PackedTensor(torch.Tensor):
    """Stands for the tensors of loaders that unpack a weight only when a layer is called."""


@pytest.mark.parametrize("socket, make", [("model", make_model), ("clip", make_clip)])
def test_weights_that_only_their_loader_can_read(output, socket, make):
    value = make()
    network = value.model.diffusion_model if socket == "model" else value.cond_stage_model
    linear = next(module for module in network.modules() if isinstance(module, torch.nn.Linear))
    linear.weight = torch.nn.Parameter(torch.zeros(8, dtype=torch.uint8).as_subclass(PackedTensor), requires_grad=False)
    refuse(
        f"`{socket}` holds weights that only its loader can read .PackedTensor.: connect the model in fp16",
        **{socket: value},
    )


@pytest.mark.parametrize("name", ["model", "clip", "vae", "prompts", "steps", "seed", "filename_prefix", "precision"])
@pytest.mark.parametrize("count", [0, 2])
def test_a_list_where_one_training_takes_one_value(output, name, count):
    values = inputs()
    with pytest.raises(ValueError, match=f"{name} has {count} values, but one training takes one"):
        run_inputs({**values, name: values[name] * count})
    assert files(output, "**/*") == []


def test_an_empty_list_of_images(output):
    refuse("source_image holds no image", source_image=[], target_image=[picture(2)])
