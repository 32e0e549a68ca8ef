"""StyO Attention Preview."""

from comfy_api.latest import io

from ..bridge.attention_preview import NODE, preview
from ..bridge.capture import maps_of


class StyOAttentionPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOAttentionPreview",
            display_name=NODE,
            category="StyO",
            description="Shows where each content token of the source pass looks: one heat map a token over the photo. "
            "These are the maps that StyO Attention Inject brings into the stylization.",
            search_aliases=["StyO", "attention map", "cross attention", "heat map", "visualize", "prompt to prompt"],
            inputs=[
                io.Latent.Input(
                    "source",
                    tooltip="LATENT output of the sampler that ran on StyO Attention Capture. It carries the maps.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="The photo that was encoded for the source pass. Another aspect is cut to the middle.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The maps are a mean over steps: where in the source pass it begins. 0 is the first step.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in the source pass the mean ends. 1 is the last step.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    tooltip="A batch: the photo, then for each content token the photo under its heat map, with its "
                    "word and its mean share of the attention; for Preview Image.",
                ),
            ],
        )

    @classmethod
    def execute(cls, source, image, start_percent, end_percent) -> io.NodeOutput:
        return io.NodeOutput(preview(maps_of(source, NODE), image, start_percent, end_percent))


NODES = [StyOAttentionPreview]
