"""A private copy of a CLIP's text encoder that can be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from comfy.clip_model import CLIPLayer
from comfy.sd1_clip import SD1ClipModel, gen_empty_tokens

from .patched_weights import PatchedWeights
from .unet_copy import PlainLayers, fill

TEXT_ENCODERS = "text_encoders."
TOKEN_TABLE = "clip_l.transformer.text_model.embeddings.token_embedding.weight"


class PlainTextLayers(PlainLayers):
    """Torch's own layers, with the embedding's output type that ComfyUI's text encoder asks for."""

    class Embedding(torch.nn.Embedding):
        def forward(self, tokens: torch.Tensor, out_dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return super().forward(tokens).to(out_dtype)


class TokenRows(torch.nn.Module):
    """The rows of a token ``table`` [vocabulary, channels] for the token ``ids`` alone, found as in the whole table.

    Training them is training the table: Adam leaves a row alone whose gradient is always 0.
    """

    def __init__(self, table: torch.Tensor, ids: torch.Tensor):
        super().__init__()
        self.weight = torch.nn.Parameter(table[ids], requires_grad=False)
        self.register_buffer("ids", ids, persistent=False)
        rows = torch.full((len(table),), -1)
        rows[ids] = torch.arange(len(ids))
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, tokens: torch.Tensor, out_dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The embeddings of ``tokens``; raises IndexError for one that has no row here."""
        return torch.nn.functional.embedding(self.rows[tokens], self.weight).to(out_dtype)

    @property
    def missing(self) -> int:
        """How many numbers of the whole table are not here."""
        return (len(self.rows) - len(self.ids)) * self.weight.shape[1]

    def within(self, table: torch.Tensor) -> torch.Tensor:
        """A copy of the whole ``table`` with these rows in their places."""
        whole = table.to(self.weight, copy=True)
        whole[self.ids] = self.weight.detach()
        return whole


class DifferentiableLayer(CLIPLayer):
    """ComfyUI's CLIPLayer without its in-place additions, which the backward pass does not allow."""

    def forward(self, x, mask=None, optimized_attention=None):
        x = x + self.self_attn(self.layer_norm1(x), mask, optimized_attention)
        return x + self.mlp(self.layer_norm2(x))


def copy_text_encoder(clip) -> SD1ClipModel:
    """The text encoder of ``clip`` with its patches and its clip skip, in float32 on the CPU, nothing trainable."""
    original = clip.cond_stage_model.clip_l.transformer
    layers = original.text_model.encoder.layers
    shapes = {
        "num_hidden_layers": len(layers),
        "hidden_size": original.text_model.embeddings.token_embedding.weight.shape[1],
        "num_attention_heads": layers[0].self_attn.heads,
        "intermediate_size": layers[0].mlp.fc1.weight.shape[0],
        "max_position_embeddings": original.text_model.embeddings.position_embedding.weight.shape[0],
    }
    options = {"clip_l_model_config": shapes, "custom_operations": PlainTextLayers}
    encoder = SD1ClipModel(device="meta", dtype=torch.float32, model_options=options)
    fill(encoder, PatchedWeights(clip.patcher), "")
    for layer in encoder.clip_l.transformer.text_model.encoder.layers:
        layer.__class__ = DifferentiableLayer
    if clip.layer_idx is not None:
        encoder.set_clip_options({"layer": clip.layer_idx})
    return encoder.eval()


class TrainedTextEncoder:
    """A trainable copy on ``device`` of ``clip``'s text encoder, for the prompts of a training."""

    def __init__(self, clip, prompts: Sequence[dict[str, list]], device: torch.device):
        self._encoder = copy_text_encoder(clip)
        self._rows = keep_token_rows(self._encoder, prompts)
        self.trained = select_trainable(self._encoder, prompts[0])
        self._encoder.to(device).set_clip_options({"execution_device": device})

    def __call__(self, tokens: dict[str, list]) -> torch.Tensor:
        """The text embedding [1, 77 * chunks, channels] of ``tokens``, open to gradients."""
        return encode(self._encoder, tokens)

    @property
    def missing(self) -> int:
        """How many numbers of the token table are not here."""
        return self._rows.missing

    def whole_table(self, untrained: Callable[[str], torch.Tensor]) -> dict[str, torch.Tensor]:
        """The token table with its trained rows, by its name in a weights file."""
        name = TEXT_ENCODERS + TOKEN_TABLE
        return {name: self._rows.within(untrained(name))}


def keep_token_rows(encoder: SD1ClipModel, prompts: Sequence[dict[str, list]]) -> TokenRows:
    """Leave of the encoder's token table only the rows that the tokens of ``prompts`` need, and return them."""
    ids = set(gen_empty_tokens(encoder.clip_l.special_tokens, 3))
    for token, *_ in (entry for tokens in prompts for chunk in tokens["l"] for entry in chunk):
        if not isinstance(token, torch.Tensor):
            ids.add(int(token))
    transformer = encoder.clip_l.transformer
    rows = TokenRows(transformer.get_input_embeddings().weight, torch.tensor(sorted(ids)))
    transformer.set_input_embeddings(rows)
    return rows


def encode(encoder: SD1ClipModel, tokens: dict[str, list]) -> torch.Tensor:
    """The text embedding [1, 77 * chunks, channels] that CLIPTextEncode gives for ``tokens``, open to gradients."""
    chunks = tokens["l"]
    ids = [[token for token, *_ in chunk] for chunk in chunks]
    weights = [[weight for _, weight, *_ in chunk] for chunk in chunks]
    ids.append(gen_empty_tokens(encoder.clip_l.special_tokens, len(ids[0])))
    z = encoder.clip_l.encode(ids)[0]
    z, empty = z[:-1], z[-1:]
    if any(weight != 1.0 for chunk in weights for weight in chunk):
        z = empty + (z - empty) * torch.tensor(weights, device=z.device)[..., None]
    return z.flatten(0, 1)[None]


def select_trainable(encoder: SD1ClipModel, tokens: dict[str, list]) -> dict[str, torch.nn.Parameter]:
    """Make trainable what has a say in the embedding of ``tokens``; returns it by its name in a weights file."""
    parameters = {TEXT_ENCODERS + name: parameter for name, parameter in encoder.named_parameters()}
    encoder.requires_grad_(True)
    gradients = torch.autograd.grad(encode(encoder, tokens).sum(), list(parameters.values()), allow_unused=True)
    encoder.requires_grad_(False)
    return {
        name: parameter.requires_grad_(True)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
        if gradient is not None
    }
