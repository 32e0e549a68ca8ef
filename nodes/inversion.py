"""StyO Invert Source."""

import comfy.samplers
from comfy_api.latest import io

from ..bridge.inversion import invert_source
from ..bridge.model_kind import family_of


class StyOInvertSource(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOInvertSource",
            display_name="StyO Invert Source",
            category="StyO",
            description="The deterministic reading of the paper's forward diffusion: finds the one noise from which "
            "the source pass gives the photo back. Optional; StyO Attention Capture on the encoded photo is the other "
            "reading.",
            search_aliases=[
                "DDIM inversion",
                "unsampler",
                "null-text inversion",
                "face",
                "identity",
                "prompt to prompt",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The trained model: `model` of StyO IDL Train or StyO Load Weights."),
                io.Conditioning.Input("source", tooltip="`source` of StyO Encode Prompts."),
                io.Latent.Input("latent", tooltip="The source image, encoded by VAE Encode. A mask is left out."),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=1000,
                    tooltip="Steps of the source pass that starts from the result, and of the stylization.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.SCHEDULER_NAMES,
                    default="ddim_uniform",
                    tooltip="Scheduler of the source pass that starts from the result, and of the stylization.",
                ),
                io.Int.Input(
                    "iterations",
                    default=10,
                    min=1,
                    max=100,
                    tooltip="Model evaluations a step. 1 is plain DDIM inversion, more make it exact; the log warns "
                    "where they do not suffice.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    tooltip="Noise for KSampler (Advanced) with add_noise off, sampler ddim or euler, and cfg 1 in the "
                    "source pass.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, source, latent, steps, scheduler, iterations) -> io.NodeOutput:
        family_of(model)
        noise = invert_source(model, source, latent["samples"], steps, scheduler, iterations)
        rest = {name: value for name, value in latent.items() if name != "noise_mask"}
        return io.NodeOutput({**rest, "samples": noise})


NODES = [StyOInvertSource]
