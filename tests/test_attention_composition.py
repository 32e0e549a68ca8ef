"""Other nodes' patches and ours: all of them act, in either order."""

import math

import pytest
import torch
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from passes import capture, empty_latent, inject, photo, sample, source_attention

pytestmark = pytest.mark.usefixtures("inference_mode")

LAYERS = [("input", 1), ("input", 3), ("middle", 0), ("output", 0), ("output", 1), ("output", 2), ("output", 3)]


class ForeignReplace:
    """IPAdapter's pattern: one object per slot of the attn2 dict, to which the next adapter adds itself."""

    def __init__(self, bias):
        self.biases = [bias]

    def add(self, bias):
        self.biases.append(bias)

    def __call__(self, q, k, v, extra_options):
        heads = extra_options["n_heads"]
        q4, k4, v4 = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = torch.softmax(q4 @ k4.transpose(-1, -2) / math.sqrt(q4.shape[-1]), -1) @ v4
        out = out.transpose(1, 2).flatten(-2)
        for bias in self.biases:
            out = out + bias * torch.tanh(q)
        return out


def with_foreign(model, bias):
    """A clone of ``model`` with an IPAdapter-like replacement, added the way IPAdapter adds its own."""
    model = model.clone()
    options = model.model_options["transformer_options"]
    options["patches_replace"] = dict(options.get("patches_replace", {}))
    slots = options["patches_replace"]["attn2"] = dict(options["patches_replace"].get("attn2", {}))
    for layer in LAYERS:
        if layer in slots:
            slots[layer].add(bias)
        else:
            slots[layer] = ForeignReplace(bias)
    return model


def relative(a, b):
    return float((a["samples"] - b["samples"]).norm() / b["samples"].norm())


def test_the_foreign_patch_is_called_in_every_layer(graph):
    """Otherwise the tests below would not test composition."""
    model = with_foreign(graph.model, 0.3)
    slots = model.model_options["transformer_options"]["patches_replace"]["attn2"]
    called = set()
    for layer, slot in list(slots.items()):
        slots[layer] = lambda *args, layer=layer, slot=slot: called.add(layer) or slot(*args)
    graph.plain(graph.source, model=model)
    assert called == set(LAYERS)


def test_a_foreign_replacement_before_and_after_ours_gives_the_same(graph):
    source = graph.source_pass(model=with_foreign(graph.model, 0.3))
    before = graph.plain(graph.stylized, model=inject(with_foreign(graph.model, 0.3), source))
    after = graph.plain(graph.stylized, model=with_foreign(inject(graph.model, source), 0.3))
    assert relative(after, before) == 0
    only_foreign = graph.plain(graph.stylized, model=with_foreign(graph.model, 0.3))
    only_ours = graph.plain(graph.stylized, model=inject(graph.model, source))
    assert relative(before, only_foreign) > 1e-3
    assert relative(before, only_ours) > 1e-3


def test_a_foreign_replacement_can_be_added_to_twice_over_ours(graph):
    source = graph.source_pass()
    twice = with_foreign(with_foreign(inject(graph.model, source), 0.2), 0.1)
    once = with_foreign(inject(graph.model, source), 0.3)
    assert relative(graph.plain(graph.stylized, model=twice), graph.plain(graph.stylized, model=once)) < 1e-4


def test_capture_under_a_foreign_replacement_leaves_the_result_unchanged(graph):
    for order in (
        lambda: capture(with_foreign(graph.model, 0.3), empty_latent()),
        lambda: (with_foreign(capture(graph.model, empty_latent())[0], 0.3), empty_latent()),
    ):
        model, latent = order()
        captured = sample(model, graph.source, graph.negative, latent)
        plain = graph.plain(graph.source, model=with_foreign(graph.model, 0.3))
        assert torch.equal(captured["samples"], plain["samples"])


def test_the_delta_form_equals_the_direct_form(graph):
    """A foreign replacement that is plain attention must not change what Inject gives."""
    source = graph.source_pass()
    direct = graph.stylize(source)
    delta = graph.plain(graph.stylized, model=inject(with_foreign(graph.model, 0.0), source))
    assert relative(delta, direct) < 1e-4
    assert relative(direct, graph.plain(graph.stylized)) > 1e-2


def test_perturbed_attention_guidance(graph):
    """PAG calls the model again at every sigma: with maps of their own for those calls, injecting a pass into itself is
    the identity still; without, as after a source pass without PAG, they take those of the main call."""
    pag = PerturbedAttentionGuidance.execute(graph.model, 3.0)[0]
    source = graph.source_pass(model=pag)
    assert relative(source, graph.plain(graph.source)) > 1e-3
    itself = graph.plain(graph.source, model=inject(pag, source))
    assert relative(itself, source) < 1e-4
    without = graph.plain(graph.stylized, model=inject(pag, graph.source_pass()))
    assert relative(without, graph.plain(graph.stylized, model=pag)) > 1e-3

    stylized = graph.plain(graph.stylized, model=inject(pag, source))
    other_order = graph.plain(
        graph.stylized, model=PerturbedAttentionGuidance.execute(inject(graph.model, source), 3.0)[0]
    )
    assert relative(stylized, other_order) < 1e-6
    assert relative(stylized, graph.plain(graph.stylized, model=pag)) > 1e-3
    assert relative(stylized, graph.stylize(source)) > 1e-3


def test_two_injects_add_their_shares(graph):
    """Half of source A and half of source B: content columns are the mean of both sources' maps."""
    a, b = graph.source_pass(), graph.source_pass()
    half = inject(inject(graph.model, a, strength=0.5), b, strength=0.5)
    assert relative(graph.plain(graph.stylized, model=half), graph.stylize(a)) < 1e-4


def test_a_lora_on_top_keeps_the_hooks(graph):
    """Loaders behind Capture and Inject clone the MODEL; the hooks travel along."""
    source = graph.source_pass()
    clone = inject(graph.model, source).clone().clone()
    assert relative(graph.plain(graph.stylized, model=clone), graph.stylize(source)) == 0
    model, latent = capture(graph.model, empty_latent())
    again = sample(model.clone().clone(), graph.source, graph.negative, latent)
    assert relative(graph.stylize(again), graph.stylize(source)) == 0


def test_inject_takes_capturing_off_its_model(graph):
    """A user may chain Inject behind Capture; the stylization must not overwrite what was captured."""
    model, latent = capture(graph.model, empty_latent())
    source = sample(model, graph.source, graph.negative, latent)
    stylized = sample(inject(model, source), graph.stylized, graph.negative, latent)
    assert relative(stylized, graph.stylize(source)) == 0
    with pytest.raises(ValueError, match="not the direct result"):
        inject(graph.model, stylized)


def test_source_attention_composes_as_inject_does(graph):
    """With another node's replacement in either order, with PAG, and with an Inject, each of which shows."""

    def attend(model):
        return source_attention(model, graph.source, photo())

    before = graph.plain(graph.stylized, model=attend(with_foreign(graph.model, 0.3)))
    after = graph.plain(graph.stylized, model=with_foreign(attend(graph.model), 0.3))
    assert relative(after, before) == 0
    ours = graph.plain(graph.stylized, model=attend(graph.model))
    assert relative(before, ours) > 1e-3
    assert relative(before, graph.plain(graph.stylized, model=with_foreign(graph.model, 0.3))) > 1e-3
    assert relative(graph.plain(graph.stylized, model=attend(with_foreign(graph.model, 0.0))), ours) < 1e-4

    def guide(model):
        return PerturbedAttentionGuidance.execute(model, 3.0)[0]

    guided = graph.plain(graph.stylized, model=attend(guide(graph.model)))
    assert relative(guided, graph.plain(graph.stylized, model=guide(attend(graph.model)))) < 1e-6
    assert relative(guided, ours) > 1e-3

    source = graph.source_pass()
    both = [inject(attend(graph.model), source, strength=0.5), attend(inject(graph.model, source, strength=0.5))]
    assert relative(graph.plain(graph.stylized, model=both[0]), ours) > 1e-3
