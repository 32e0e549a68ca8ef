"""StyO Attention Capture, StyO Attention Inject and StyO Source Attention."""

from comfy_api.latest import io

from ..bridge.capture import KEY, Capture, pass_of
from ..bridge.inject import Amount, Inject
from ..bridge.model_kind import family_of
from ..bridge.source_attention import SourceAttention


def _amount_inputs():
    """How much is replaced, and when: the inputs that an `Amount` is made of."""
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="Share of the source's maps. 1 is the paper's full replacement, 0 is off.",
        ),
        io.Float.Input(
            "start_percent",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Where in sampling replacement begins. 0 is the first step, as in the paper.",
        ),
        io.Float.Input(
            "end_percent",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Where in sampling replacement ends. 1 is the last step, as in the paper; 0 is off.",
        ),
    ]


class StyOAttentionCapture(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOAttentionCapture",
            display_name="StyO Attention Capture",
            category="StyO",
            search_aliases=["prompt to prompt", "cross attention control", "attention maps", "identity", "face"],
            description="Lets the sampler of the source pass keep the attention maps of the content tokens. "
            "What it samples stays the same.",
            inputs=[
                io.Model.Input("model", tooltip="The trained model: `model` of StyO IDL Train or StyO Load Weights."),
                io.Latent.Input(
                    "latent",
                    tooltip="The photo, encoded by VAE Encode. At denoise 1 the sampler noises it and draws it again, "
                    "so the maps are the photo's own.",
                ),
            ],
            outputs=[
                io.Model.Output("model", tooltip="For the sampler whose positive is `source` of StyO Encode Prompts."),
                io.Latent.Output("latent", tooltip="For the same sampler; its LATENT output then carries the maps."),
            ],
        )

    @classmethod
    def execute(cls, model, latent) -> io.NodeOutput:
        family_of(model)
        capture = Capture()
        return io.NodeOutput(capture.attach(model), {**latent, KEY: capture})


class StyOAttentionInject(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOAttentionInject",
            display_name="StyO Attention Inject",
            category="StyO",
            search_aliases=["prompt to prompt", "cross attention control", "FCC", "style transfer", "identity", "face"],
            description="Lets the sampler of the stylization pass take the attention maps of the content tokens from "
            "the source pass (Fine-grained Content Controller): the source's pose and detail return.",
            inputs=[
                io.Model.Input("model", tooltip="The trained model, the same as StyO Attention Capture's."),
                io.Latent.Input(
                    "source",
                    tooltip="LATENT output of the sampler that ran on StyO Attention Capture. It carries the maps.",
                ),
                *_amount_inputs(),
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    tooltip="For the sampler whose positive is `stylized` of StyO Encode Prompts. It starts from an "
                    "empty latent of the same size with a seed of its own; steps, sampler and scheduler are the source "
                    "pass's.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, source, strength, start_percent, end_percent) -> io.NodeOutput:
        family_of(model)
        amount = Amount(strength, start_percent, end_percent)
        return io.NodeOutput(Inject(pass_of(source), amount).attach(model))


class StyOSourceAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOSourceAttention",
            display_name="StyO Source Attention",
            category="StyO",
            description="StyO Attention Capture and Inject in one: at every step of the stylization the model also "
            "reads the photo, noised as far as that step, and the photo's attention maps of the content tokens take "
            "the place of its own. No sampler for the source is needed.",
            search_aliases=["FCC", "prompt to prompt", "attention control", "identity"],
            inputs=[
                io.Model.Input("model", tooltip="The trained model: `model` of StyO IDL Train or StyO Load Weights."),
                io.Conditioning.Input("source", tooltip="`source` of StyO Encode Prompts; the photo is read under it."),
                io.Latent.Input("latent", tooltip="The photo, encoded by VAE Encode, of the stylization's size."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=False,
                    tooltip="Noise that the photo is read under, the same in all steps. The sampler's seed is another.",
                ),
                *_amount_inputs(),
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    tooltip="For the sampler whose positive is `stylized` of StyO Encode Prompts; its seed, steps, "
                    "sampler and scheduler are free.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, source, latent, seed, strength, start_percent, end_percent) -> io.NodeOutput:
        family_of(model)
        amount = Amount(strength, start_percent, end_percent)
        return io.NodeOutput(SourceAttention(source, latent["samples"], seed, amount).attach(model))


NODES = [StyOAttentionCapture, StyOAttentionInject, StyOSourceAttention]
