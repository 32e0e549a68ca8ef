"""StyO IDL Train."""

from comfy_api.latest import io

from ..bridge.idl import learn
from ..bridge.training_inputs import Inputs
from ..training.settings import (
    MAX_LEARNING_RATE,
    MAX_RANK,
    MAX_RESOLUTION,
    MAX_SEED,
    MAX_STEPS,
    METHODS,
    OPTIMIZERS,
    PAPER_STEPS,
    PRECISIONS,
    RESOLUTION_STEP,
    Settings,
)
from .sockets import StyOPrompts

IMAGE_RULE = (
    "Any size: the shorter side is scaled to `resolution` and the middle cut out; alpha becomes white, but Load Image "
    "passes none on."
)


class StyOIDLTrain(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOIDLTrain",
            display_name="StyO IDL Train",
            category="StyO",
            description="Teaches a private copy of a model the style and the content of two images, each under "
            "its own words (StyO's Identifier Disentanglement Learner). Cancelled runs go on where they stopped.",
            search_aliases=[
                "one-shot face stylization",
                "DreamBooth",
                "LoRA training",
                "fine-tune",
                "style transfer",
                "portrait",
                "cartoon",
                "avatar",
                "identity",
            ],
            is_input_list=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="An SD 1.x, SD 2.x or SDXL model. It stays as it is; training starts from it with its "
                    "LoRAs applied.",
                ),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint. It stays as it is."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint; encodes the images once."),
                StyOPrompts.Input("prompts", tooltip="From StyO Prompt Builder."),
                io.Image.Input("source_image", tooltip=f"The face to be stylized; each step takes one. {IMAGE_RULE}"),
                io.Image.Input(
                    "target_image", tooltip=f"The artwork whose style is learned; each step takes one. {IMAGE_RULE}"
                ),
                io.Image.Input(
                    "auxiliary_images",
                    optional=True,
                    tooltip="Other faces in the source's style, a batch or a list; the paper takes 200 random FFHQ "
                    f"photos. Without them the result loses local detail of the source. {IMAGE_RULE}",
                ),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="full",
                    tooltip="What is trained. full: all of the UNet, as in the paper. cross_attention: the layers that "
                    "read the prompt; less memory, a small file. lora: a low-rank change of the transformers.",
                ),
                io.Int.Input(
                    "steps",
                    default=PAPER_STEPS,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Training steps, each on a source, a target and an auxiliary image. The paper's is 400.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.0,
                    min=0.0,
                    max=MAX_LEARNING_RATE,
                    step=1e-7,
                    round=1e-9,
                    tooltip="Adam's step size: about how far a weight moves in a step. 0: the method's own, which is "
                    "1e-6 for full, as in the paper, 1e-5 for cross_attention and 1e-4 for lora.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=False,
                    tooltip="Decides every random draw; on a CPU the same seed gives the same weights bit for bit.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="loras/StyO/idl",
                    tooltip="Where the weights are saved in ComfyUI's output folder. LoRA loaders list what is below "
                    "loras/. A number is appended, so nothing is overwritten.",
                ),
                io.Boolean.Input(
                    "train_text_encoder",
                    default=False,
                    advanced=True,
                    tooltip="Also train the whole text encoder, which the paper leaves alone. Needs about 1.5 GB more "
                    "memory for SD 1.x, 9 GB for SDXL.",
                ),
                io.Int.Input(
                    "rank",
                    default=16,
                    min=1,
                    max=MAX_RANK,
                    advanced=True,
                    tooltip="Rank of the change that method lora learns; a larger one can learn more. "
                    "Other methods ignore it.",
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=MAX_RESOLUTION,
                    step=RESOLUTION_STEP,
                    advanced=True,
                    tooltip="Side, in pixels, of the squares the images are brought to. 0: the model's own, 512 for SD "
                    "1.x and 1024 for SDXL.",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default="bf16",
                    advanced=True,
                    tooltip="What the network computes in; trained weights are kept in fp32 anyway. bf16 for GPUs from "
                    "2020 on, fp16 for older ones, fp32 where memory and time do not matter.",
                ),
                io.Boolean.Input(
                    "gradient_checkpointing",
                    default=True,
                    advanced=True,
                    tooltip="Compute each block twice instead of keeping its inside: far less memory, about a "
                    "third more time, the same result.",
                ),
                io.Int.Input(
                    "save_every",
                    default=100,
                    min=0,
                    max=MAX_STEPS,
                    advanced=True,
                    tooltip="Steps between saves of usable weights and of the state to resume from. 0: only at the end "
                    "and when cancelled. With method full the state takes 10 GB of disk until the training is "
                    "finished, 31 GB for SDXL.",
                ),
                io.Combo.Input(
                    "optimizer",
                    options=list(OPTIMIZERS),
                    default="adam",
                    advanced=True,
                    tooltip="How gradients become steps. adam: remembers two numbers a weight. adafactor: remembers "
                    "far less, so method full needs 4 GB instead of 11 on SD 1.5, and its saved state 3.5 instead of "
                    "10; steps of the same size, another path.",
                ),
                io.Int.Input(
                    "preview_every",
                    default=100,
                    min=0,
                    max=MAX_STEPS,
                    advanced=True,
                    tooltip="Steps between pictures on this node: what the prompts stylized and source give by now, "
                    "above the losses. Each takes as long as about 4 steps; the training stays the same. 0: none.",
                ),
                io.Boolean.Input(
                    "train_identifiers",
                    default=False,
                    advanced=True,
                    tooltip="Also learn the four identifiers' own token embeddings, as textual inversion does, and "
                    "nothing else of the text encoder. Parts style and person better where a rare word already means "
                    "something else. With `learning_rate` 0 they take 5e-4. Needs about 0.4 GB more memory for SD 1.x, "
                    "3 GB for SDXL.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model", tooltip="The model with what was learned, for StyO Attention Capture and Inject."
                ),
                io.Clip.Output("clip", tooltip="The text encoder, with what was learned if it was trained."),
                io.LoraModel.Output("weights", tooltip="What was learned, as saved; for Save LoRA Weights."),
                io.LossMap.Output("loss", tooltip="The loss of every step and its terms; for Plot Loss Graph."),
            ],
        )

    @classmethod
    def execute(
        cls, model, clip, vae, prompts, source_image, target_image, filename_prefix, auxiliary_images=None, **settings
    ) -> io.NodeOutput:
        images = {"source_image": source_image, "target_image": target_image}
        if auxiliary_images:
            images["auxiliary_images"] = auxiliary_images
        single = {"model": model, "clip": clip, "vae": vae, "prompts": prompts, "filename_prefix": filename_prefix}
        model, clip, vae, prompts, prefix = (_only(name, values) for name, values in single.items())
        settings = Settings(**{name: _only(name, values) for name, values in settings.items()})
        result = learn(Inputs(model, clip, vae, prompts, images, settings), prefix, cls.hidden.unique_id)
        return io.NodeOutput(*result.applied_to(model, clip), result.weights, result.loss_map())


def _only(name: str, values: list):
    """The one entry of an input that is no list of images; raises ValueError for another number of them."""
    if len(values) != 1:
        raise ValueError(f"{name} has {len(values)} values, but one training takes one: connect a single value.")
    return values[0]


NODES = [StyOIDLTrain]
