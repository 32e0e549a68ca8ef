"""StyO Attention Capture and StyO Attention Inject."""

from comfy_api.latest import io

from ..bridge.capture import KEY, Capture, maps_of
from ..bridge.inject import Inject
from ..bridge.model_checks import require_sd15


class StyOAttentionCapture(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOAttentionCapture",
            display_name="StyO Attention Capture",
            category="StyO",
            description="Lets the sampler of the source pass keep the attention maps of the content tokens. "
            "What it samples stays the same.",
            inputs=[
                io.Model.Input("model", tooltip="The trained model: `model` of StyO IDL Train or StyO Load Weights."),
                io.Latent.Input(
                    "latent", tooltip="The latent the source pass starts from; the stylization starts from it too."
                ),
            ],
            outputs=[
                io.Model.Output("model", tooltip="For the sampler whose positive is `source` of StyO Encode Prompts."),
                io.Latent.Output("latent", tooltip="For the same sampler; its LATENT output then carries the maps."),
            ],
        )

    @classmethod
    def execute(cls, model, latent) -> io.NodeOutput:
        require_sd15(model)
        capture = Capture()
        return io.NodeOutput(capture.attach(model), {**latent, KEY: capture})


class StyOAttentionInject(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOAttentionInject",
            display_name="StyO Attention Inject",
            category="StyO",
            description="Lets the sampler of the stylization pass take the attention maps of the content tokens from "
            "the source pass (Fine-grained Content Controller): the source's pose and detail return.",
            inputs=[
                io.Model.Input("model", tooltip="The trained model, the same as StyO Attention Capture's."),
                io.Latent.Input(
                    "source",
                    tooltip="LATENT output of the sampler that ran on StyO Attention Capture. It carries the maps.",
                ),
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
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    tooltip="For the sampler whose positive is `stylized` of StyO Encode Prompts, with the source "
                    "pass's seed, steps and latent size.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, source, strength, start_percent, end_percent) -> io.NodeOutput:
        require_sd15(model)
        return io.NodeOutput(Inject(maps_of(source), strength, start_percent, end_percent).attach(model))


NODES = [StyOAttentionCapture, StyOAttentionInject]
