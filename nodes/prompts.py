"""StyO Prompt Builder and StyO Encode Prompts."""

from comfy_api.latest import io

from ..bridge.prompt_encoding import encode_prompts
from ..training.prompts import MAX_REPEATS, Prompts
from .sockets import StyOPrompts


class StyOPromptBuilder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOPromptBuilder",
            display_name="StyO Prompt Builder",
            category="StyO",
            description="Builds StyO's four contrastive prompts from four rare words. The defaults are the paper's.",
            search_aliases=[
                "one-shot face stylization",
                "contrastive prompts",
                "DreamBooth prompt",
                "style transfer",
                "portrait",
            ],
            inputs=[
                io.String.Input(
                    "source_style",
                    default="ak47",
                    tooltip="Rare word that stands for how the source image is drawn (S_src). Any word the model knows "
                    "little of; the default is the paper's.",
                ),
                io.String.Input(
                    "target_style",
                    default="aug",
                    tooltip="Rare word that stands for how the target image, the artwork, is drawn (S_tgt).",
                ),
                io.String.Input(
                    "source_content",
                    default="sks",
                    tooltip="Rare word that stands for who and what is in the source image (C_src).",
                ),
                io.String.Input(
                    "target_content",
                    default="m4a1",
                    tooltip="Rare word that stands for who and what is in the target image (C_tgt).",
                ),
                io.Int.Input(
                    "style_repeats",
                    default=3,
                    min=1,
                    max=MAX_REPEATS,
                    tooltip="How often the style words are repeated (n_s). More is more artistic, fewer more "
                    "photo-like; the paper uses 3 and recommends up to 3.",
                ),
                io.Int.Input(
                    "content_repeats",
                    default=1,
                    min=1,
                    max=MAX_REPEATS,
                    tooltip="How often the content words are repeated (n_c). More keeps closer to the source, up to a "
                    "copy of it; the paper uses 1 and recommends up to 3.",
                ),
                io.String.Input(
                    "negator",
                    default="not",
                    tooltip="Word between a pair of identifiers: not, without, except. Empty leaves the negative half "
                    "out, which the paper shows to over-fit.",
                ),
                io.String.Input(
                    "subject",
                    default="portrait",
                    tooltip="What all images show. It ends every prompt and counts as content.",
                ),
            ],
            outputs=[
                StyOPrompts.Output("prompts", tooltip="For StyO IDL Train and StyO Encode Prompts."),
                io.String.Output("source", tooltip="Text of the source image's prompt."),
                io.String.Output("target", tooltip="Text of the target image's prompt."),
                io.String.Output(
                    "auxiliary", tooltip="Text of the auxiliary images' prompt, which has no content words."
                ),
                io.String.Output("stylized", tooltip="Text of the result's prompt: target style, source content."),
            ],
        )

    @classmethod
    def execute(cls, **settings) -> io.NodeOutput:
        prompts = Prompts(**settings)
        return io.NodeOutput(prompts, prompts.source, prompts.target, prompts.auxiliary, prompts.stylized)


class StyOEncodePrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOEncodePrompts",
            display_name="StyO Encode Prompts",
            category="StyO",
            search_aliases=["CLIP Text Encode", "conditioning", "face stylization", "style transfer"],
            description="Encodes the four prompts as CLIP Text Encode does, and marks which tokens are content, so "
            "that StyO Attention Capture and Inject never have to guess.",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder: `clip` of StyO IDL Train or Load Weights."),
                StyOPrompts.Input("prompts", tooltip="From StyO Prompt Builder or StyO Load Weights."),
            ],
            outputs=[
                io.Conditioning.Output("source", tooltip="Positive conditioning of the captured source pass."),
                io.Conditioning.Output("target", tooltip="Reconstructs the target image; to check what was learned."),
                io.Conditioning.Output("auxiliary", tooltip="A face in the source's style; to check what was learned."),
                io.Conditioning.Output("stylized", tooltip="Positive conditioning of the stylization pass."),
            ],
        )

    @classmethod
    def execute(cls, clip, prompts: Prompts) -> io.NodeOutput:
        return io.NodeOutput(*encode_prompts(clip, prompts))


NODES = [StyOPromptBuilder, StyOEncodePrompts]
