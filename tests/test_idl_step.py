"""The optimizer's steps are those of autograd on equation 4 and torch's optimizers, whatever is trained."""

import pytest
import torch
from idl_runs import DEFAULTS, files, images, inputs, load, patched, run, run_inputs, same
from styo.bridge import idl, unet_copy
from styo.training.optimizer import BackwardOptimizer
from styo.training.prompts import Prompts
from styo.training.settings import LEARNING_RATES
from styo.training.weights import trained_weights
from tiny import make_clip, make_model, make_vae

STEPS = DEFAULTS["steps"]
LEARNING_RATE = DEFAULTS["learning_rate"]
ROUNDING = 1e-6
TABLE = "clip_l.transformer.text_model.embeddings.token_embedding.weight"
END = 49406
"""The first of the tokens that are no word."""


def clip_reference(weights, ids):
    """CLIP's text model (two layers, four heads, quick GELU) on token ids [77], written out."""
    norm = torch.nn.functional.layer_norm
    linear = torch.nn.functional.linear

    def weight(name):
        return weights[f"clip_l.transformer.text_model.{name}.weight"]

    def both(name):
        return weight(name), weights[f"clip_l.transformer.text_model.{name}.bias"]

    x = weight("embeddings.token_embedding")[ids] + weight("embeddings.position_embedding")
    tokens, channels = x.shape
    for i in range(2):
        layer = f"encoder.layers.{i}"
        h = norm(x, (channels,), *both(f"{layer}.layer_norm1"))
        q, k, v = (
            linear(h, *both(f"{layer}.self_attn.{p}_proj")).view(tokens, 4, channels // 4).transpose(0, 1)
            for p in "qkv"
        )
        scores = q @ k.transpose(1, 2) * (channels // 4) ** -0.5
        scores = scores.masked_fill(torch.ones(tokens, tokens).triu(1).bool(), -torch.inf)
        h = (scores.softmax(-1) @ v).transpose(0, 1).reshape(tokens, channels)
        x = x + linear(h, *both(f"{layer}.self_attn.out_proj"))
        h = linear(norm(x, (channels,), *both(f"{layer}.layer_norm2")), *both(f"{layer}.mlp.fc1"))
        x = x + linear(h * torch.sigmoid(1.702 * h), *both(f"{layer}.mlp.fc2"))
    return norm(x, (channels,), *both("final_layer_norm"))


def equation_4(unet, parameters, contexts, latents, sigmas, generator):
    """Equation 4 on one draw: three forward passes, three means of squares, one sum."""
    picks = [int(torch.randint(len(z), (), generator=generator)) for z in latents]
    ts = torch.randint(1000, (3,), generator=generator)
    noises = torch.randn((3, *latents[0].shape[1:]), generator=generator)
    total = 0
    for z, pick, t, eps, context in zip(latents, picks, ts, noises, contexts, strict=True):
        alpha_bar = 1 / (1 + sigmas[t] ** 2)
        z_t = alpha_bar.sqrt() * z[pick] + (1 - alpha_bar).sqrt() * eps
        arguments = {"timesteps": t[None].float(), "context": context, "transformer_options": {}}
        prediction = torch.func.functional_call(unet, parameters(), (z_t[None],), arguments)
        total = total + ((eps - prediction[0]) ** 2).mean()
    return total


def adafactor(leaves):
    """Torch's Adafactor on the leaves as matrices, at steps of LEARNING_RATE, and what it steps by leaf."""
    matrices = {leaf: leaf.detach().flatten(1) if leaf.ndim > 1 else leaf.detach() for leaf in leaves}
    return torch.optim.Adafactor(matrices.values(), lr=LEARNING_RATE / 1e3, eps=(1e-15, 1e3)), matrices


def reference(method, text_encoder, optimizer, rate):
    """The change of every trained tensor after STEPS steps, and its largest last gradient, by the name of the weight.

    Written out without the pack's training; the low-rank matrices start where the pack's start. Of the ``text_encoder``
    nothing is trained, the identifiers' rows of its token table, or all.
    """
    model, clip, vae = make_model(), make_clip(), make_vae()
    generator = torch.Generator().manual_seed(0)
    unet = model.model.diffusion_model.requires_grad_(False)
    base = {name: parameter.detach().clone() for name, parameter in unet.named_parameters()}
    leaves = {}
    if method == "lora":
        twin = unet_copy.copy_unet(model)
        unet_copy.select_trainable(twin, "lora", DEFAULTS["rank"], generator)
        for name, value in twin.named_parameters():
            if ".lora_" in name:
                leaves[name] = value.detach().clone().requires_grad_(True)
    else:
        names = [name for name in base if method == "full" or ".attn2." in name]
        leaves = {name: base[name].clone().requires_grad_(True) for name in names}
    text = {name: value.detach().clone() for name, value in clip.cond_stage_model.state_dict().items()}
    for name in text:
        if ("text_model" in name and text_encoder == "all") or (name == TABLE and text_encoder == "identifiers"):
            text[name] = leaves[name] = text[name].requires_grad_(True)

    def parameters():
        if method != "lora":
            return {**base, **{name: leaf for name, leaf in leaves.items() if name in base}}
        changed = dict(base)
        for name in leaves:
            if name.endswith(".lora_up.weight"):
                stem = name.removesuffix(".lora_up.weight")
                change = leaves[name].flatten(1) @ leaves[f"{stem}.lora_down.weight"].flatten(1)
                changed[f"{stem}.weight"] = base[f"{stem}.weight"] + change.view_as(base[f"{stem}.weight"])
        return changed

    prompts = Prompts()
    texts = [prompts.source, prompts.target, prompts.auxiliary]
    ids = [torch.tensor([token for token, _ in clip.tokenize(prompt)["l"][0]]) for prompt in texts]
    ours = torch.zeros(len(text[TABLE]))
    for word in (prompts.source_style, prompts.target_style, prompts.source_content, prompts.target_content):
        ours[[token for token, _ in clip.tokenize(word)["l"][0] if token < END]] = 1
    with torch.no_grad():
        latents = [vae.encode(pictures[0]).float() * 0.18215 for pictures in images().values()]
    sigmas = model.model.model_sampling.sigmas
    stepped = {leaf: leaf for leaf in leaves.values()}
    steps = torch.optim.Adam([{"params": [leaf], "lr": rate(name)} for name, leaf in leaves.items()])
    if optimizer == "adafactor":
        steps, stepped = adafactor(leaves.values())
    before = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    for _ in range(STEPS):
        contexts = [clip_reference(text, prompt)[None] for prompt in ids]
        for leaf in leaves.values():
            leaf.grad = None
        equation_4(unet, parameters, contexts, latents, sigmas, generator).backward()
        if text_encoder == "identifiers":
            text[TABLE].grad *= ours[:, None]
        slopes = {name: float(leaf.grad.abs().max()) for name, leaf in leaves.items()}
        for leaf, twin in stepped.items():
            twin.grad = leaf.grad.view_as(twin)
        steps.step()
    changes = {name: leaf.detach() - (0 if ".lora_" in name else before[name]) for name, leaf in leaves.items()}
    return {file_name(name): (change, slopes[name]) for name, change in changes.items()}


def file_name(name):
    """A weight's name in a weights file."""
    name = f"text_encoders.{name}" if name.startswith("clip_l.") else f"diffusion_model.{name}"
    return (
        name
        if ".lora_" in name
        else name.removesuffix(".weight").removesuffix(".bias") + (".diff_b" if name.endswith(".bias") else ".diff")
    )


TEXT = {
    "none": {},
    "identifiers": {"train_identifiers": True},
    "all": {"train_text_encoder": True},
    "all, identifiers named": {"train_text_encoder": True, "train_identifiers": True},
}


def whole_tables(weights):
    """``weights`` with the change of a token table written out, which files hold as the rows that changed."""
    weights = dict(weights)
    stem = f"text_encoders.{TABLE.removesuffix('.weight')}"
    if f"{stem}.lora_up.weight" in weights:
        up, down, alpha = (weights.pop(f"{stem}.{part}") for part in ("lora_up.weight", "lora_down.weight", "alpha"))
        assert alpha == len(down) < 30
        weights[f"{stem}.diff"] = up.float() @ down.float()
    return weights


@pytest.mark.parametrize(
    ("method", "text", "optimizer"),
    [
        *((method, text, "adam") for method in ("full", "cross_attention", "lora") for text in TEXT),
        *(("full", "none", "adafactor"), ("lora", "none", "adafactor")),
    ],
)
def test_steps_are_the_optimizers_on_the_gradient_of_equation_4(output, method, text, optimizer):
    weights = whole_tables(run(method=method, optimizer=optimizer, **TEXT[text])[2])
    expected = reference(method, text.partition(",")[0], optimizer, lambda name: LEARNING_RATE)
    check_changes(weights, expected)


@pytest.mark.parametrize(("method", "rate"), LEARNING_RATES.items())
def test_identifiers_have_a_rate_of_their_own_where_the_method_has(output, method, rate):
    weights = whole_tables(run(method=method, learning_rate=0.0, train_identifiers=True)[2])
    check_changes(weights, reference(method, "identifiers", "adam", lambda name: 5e-4 if name == TABLE else rate))


def check_changes(weights, expected):
    """That the ``weights`` of a file hold the ``expected`` changes."""
    assert weights.keys() - {key for key in weights if key.endswith(".alpha")} == expected.keys()
    # What a normalisation or a softmax cancels has no gradient but rounding, which Adam makes full steps of.
    felt = {key: change for key, (change, slope) in expected.items() if slope > ROUNDING}
    assert len(felt) > 0.9 * len(expected)
    for key, change in felt.items():
        error = torch.linalg.vector_norm(weights[key].float() - change) / torch.linalg.vector_norm(change)
        assert error < 3e-3, f"{key}: {error:.1e}"


@pytest.mark.parametrize("changes", [{}, {"method": "lora", "train_identifiers": True}, {"train_text_encoder": True}])
def test_gradient_checkpointing_takes_the_same_steps(output, changes):
    plain = run(**changes, filename_prefix="loras/plain/idl")[2]
    recomputed = run(**changes, gradient_checkpointing=True, filename_prefix="loras/recomputed/idl")[2]
    assert same(plain, recomputed)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_no_update_is_lost_to_rounding(precision):
    """What a file holds of 400 steps at the paper's rate, against Adam in float64 on the very gradients."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.SiLU(), torch.nn.Linear(32, 16))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    parameters = dict(net.named_parameters())
    start = [parameter.detach().double().clone() for parameter in parameters.values()]
    exact = [torch.nn.Parameter(value.clone()) for value in start]
    adam64 = torch.optim.Adam(exact, lr=1e-6)
    gradients = {}
    for name, parameter in parameters.items():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: gradients.__setitem__(name, p.grad.clone()))
    optimizer = BackwardOptimizer({"net": parameters}, 1e-6, scale_loss=precision == "fp16")
    for _ in range(400):
        x = torch.randn(8, 16, generator=generator)
        scale = optimizer.loss_scale()
        with unet_copy.autocast(torch.device("cpu"), dtype):
            prediction = net(x)
        optimizer.step(((prediction.float() - x.roll(1, 1)) ** 2).mean())
        for twin, name in zip(exact, parameters, strict=True):
            twin.grad = gradients[name].double() / scale
        adam64.step()
    untrained = {name: value.float() for name, value in zip(parameters, start, strict=True)}
    saved = trained_weights(parameters, untrained.get, rank=0)
    for change, twin, first in zip(saved.values(), exact, start, strict=True):
        update = twin.detach() - first
        assert torch.linalg.vector_norm(update) > 0
        assert torch.linalg.vector_norm(change.double() - update) < 1e-3 * torch.linalg.vector_norm(update)


class Twin:
    """Torch's plain fp32 Adam on the very gradients that ``parameter`` gets."""

    def __init__(self, parameter, loss_scale):
        self.start = parameter.detach().clone()
        self.parameter = torch.nn.Parameter(self.start.clone())
        self._adam = torch.optim.Adam([self.parameter], lr=1e-6, foreach=False)
        self._loss_scale = loss_scale
        parameter.register_post_accumulate_grad_hook(self._step)

    def _step(self, parameter):
        self.parameter.grad = parameter.grad / self._loss_scale()
        self._adam.step()

    def update(self):
        return self.parameter.detach().double() - self.start.double()


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_the_file_and_the_returned_model_move_as_fp32_adam_does(output, monkeypatch, precision):
    twins, adams = {}, []

    def watched(groups, *args, **kwargs):
        for name, parameter in (entry for group in groups.values() for entry in group.items()):
            twins[name] = Twin(parameter, lambda: adams[0].loss_scale())
        adams.append(BackwardOptimizer(groups, *args, **kwargs))
        return adams[0]

    monkeypatch.setattr(idl, "BackwardOptimizer", watched)
    values = inputs(precision=precision, steps=5, learning_rate=1e-6)
    returned = patched(run_inputs(values)[0])
    saved = load(output / files(output)[0])
    assert len(twins) == len(saved)
    for name, twin in twins.items():
        update = twin.update()
        for change in (saved[file_name(name.removeprefix(unet_copy.UNET))], returned[name] - twin.start):
            error = torch.linalg.vector_norm(change.double() - update) / torch.linalg.vector_norm(update)
            assert error < 1e-3, f"{name}: {error:.1e}"


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_a_half_precision_model_moves_at_the_papers_rate(output, precision, stored):
    weights = run_inputs(
        inputs(
            model=make_model(dtype=stored),
            clip=make_clip(dtype=stored),
            precision=precision,
            steps=1,
            learning_rate=1e-6,
        )
    )[2]
    moved = torch.cat([change.float().abs().flatten() for change in weights.values()])
    assert float(moved.median()) == pytest.approx(1e-6, rel=0.02)
