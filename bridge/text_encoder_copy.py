"""A private copy of a CLIP's text encoders that can be trained."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

import torch
from comfy.clip_model import CLIPLayer
from comfy.sd1_clip import SDClipModel, gen_empty_tokens

from .conditioning import TextEmbedding
from .model_kind import encoder_name, text_encoders
from .patched_weights import PatchedWeights
from .unet_copy import PlainLayers, fill

TEXT_ENCODERS = "text_encoders."
TOKEN_TABLE = "transformer.text_model.embeddings.token_embedding.weight"


class PlainTextLayers(PlainLayers):
    """Torch's own layers, with the embedding's output type that ComfyUI's text encoder asks for."""

    class Embedding(torch.nn.Embedding):
        def forward(self, tokens: torch.Tensor, out_dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return super().forward(tokens).to(out_dtype)


class TokenRows(torch.nn.Module):
    """The rows of a token ``table`` [vocabulary, channels] for the tokens of prompts, found as in the whole table.

    ``weight`` holds those of the ``trained`` ids; those of the ``fixed`` ids stay. Training the rows is training the
    table: Adam leaves a row alone whose gradient is always 0.
    """

    def __init__(self, table: torch.Tensor, trained: torch.Tensor, fixed: torch.Tensor):
        super().__init__()
        self.weight = torch.nn.Parameter(table[trained], requires_grad=False)
        self.register_buffer("ids", trained, persistent=False)
        self.register_buffer("fixed", table[fixed].detach(), persistent=False)
        rows = torch.full((len(table),), -1)
        rows[torch.cat([trained, fixed])] = torch.arange(len(trained) + len(fixed))
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, tokens: torch.Tensor, out_dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The embeddings of ``tokens``; raises IndexError for one that has no row here."""
        return torch.nn.functional.embedding(self.rows[tokens], torch.cat([self.weight, self.fixed])).to(out_dtype)


class DifferentiableLayer(CLIPLayer):
    """ComfyUI's CLIPLayer without its in-place additions, which the backward pass does not allow."""

    def forward(self, x, mask=None, optimized_attention=None):
        x = x + self.self_attn(self.layer_norm1(x), mask, optimized_attention)
        return x + self.mlp(self.layer_norm2(x))


def copy_text_encoder(clip) -> torch.nn.Module:
    """The text encoders of ``clip`` with patches and clip skip, in one module in float32 on the CPU, nothing trainable.

    Its `encode_token_weights` is ComfyUI's, open to gradients.
    """
    options = {f"{encoder_name(key)}_model_config": _sizes(each) for key, each in text_encoders(clip).items()}
    options["custom_operations"] = PlainTextLayers
    copy = type(clip.cond_stage_model)(device="meta", dtype=torch.float32, model_options=options)
    fill(copy, PatchedWeights(clip.patcher), "", {})
    for module in copy.modules():
        if isinstance(module, CLIPLayer):
            module.__class__ = DifferentiableLayer
        elif isinstance(module, SDClipModel):
            module.encode_token_weights = functools.partial(_encode_token_weights, module)
    if clip.layer_idx is not None:
        copy.set_clip_options({"layer": clip.layer_idx})
    return copy.eval()


def _sizes(encoder: SDClipModel) -> dict[str, int]:
    text_model = encoder.transformer.text_model
    layers = text_model.encoder.layers
    return {
        "num_hidden_layers": len(layers),
        "hidden_size": text_model.embeddings.token_embedding.weight.shape[1],
        "num_attention_heads": layers[0].self_attn.heads,
        "intermediate_size": layers[0].mlp.fc1.weight.shape[0],
        "max_position_embeddings": text_model.embeddings.position_embedding.weight.shape[0],
    }


def _encode_token_weights(encoder: SDClipModel, chunks: list[list[tuple]]) -> tuple[torch.Tensor, torch.Tensor]:
    """What ComfyUI's method of this name returns, on the encoder's device and without its in-place arithmetic."""
    ids = [[token for token, *_ in chunk] for chunk in chunks]
    weights = [[weight for _, weight, *_ in chunk] for chunk in chunks]
    weighted = any(weight != 1.0 for chunk in weights for weight in chunk)
    if weighted:
        ids.append(gen_empty_tokens(encoder.special_tokens, len(ids[0])))
    z, pooled = encoder.encode(ids)
    if weighted:
        z, empty = z[:-1], z[-1:]
        z = empty + (z - empty) * torch.tensor(weights, device=z.device)[..., None]
    return z.flatten(0, 1)[None], pooled[:1]


class TrainedTextEncoder:
    """A trainable copy on ``device`` of ``clip``'s text encoders, for the ``prompts`` (tokens) of a training.

    ``groups`` holds what is trained, by layer and then by its name in a weights file: all that has a say in what the
    UNet reads of a prompt, which ``unet_inputs`` tells, or of that the token embeddings of the ``chosen`` ids alone.
    """

    def __init__(
        self,
        clip,
        prompts: Sequence[dict[str, list]],
        device: torch.device,
        unet_inputs: Callable[[Sequence[TextEmbedding]], dict[str, torch.Tensor]],
        chosen: dict[str, set[int]] | None = None,
    ):
        self._copy = copy_text_encoder(clip)
        self._rows = {
            f"{encoder_name(key)}.{TOKEN_TABLE}": self._keep_token_rows(key, prompts, chosen and chosen[key])
            for key in text_encoders(clip)
        }
        self._copy.to(device).set_clip_options({"execution_device": device})
        self.groups: dict[str, dict[str, torch.nn.Parameter]] = {}
        for name in self._felt(prompts[0], unet_inputs):
            if chosen is not None and name not in self._rows:
                continue
            parameter = self._copy.get_parameter(name).requires_grad_(True)
            self.groups.setdefault(_part(name), {})[TEXT_ENCODERS + name] = parameter

    def __call__(self, tokens: dict[str, list]) -> TextEmbedding:
        """The text embedding of ``tokens``, open to gradients."""
        return TextEmbedding(*self._copy.encode_token_weights(tokens)[:2])

    @property
    def token_rows(self) -> dict[str, TokenRows]:
        """The trained rows of the token tables, by the tables' names in a weights file."""
        return {TEXT_ENCODERS + name: rows for name, rows in self._rows.items() if rows.weight.requires_grad}

    def _keep_token_rows(self, key: str, prompts: Sequence[dict[str, list]], chosen: set[int] | None) -> TokenRows:
        """Leave of an encoder's token table only the rows that the tokens of ``prompts`` need, and return them."""
        encoder = getattr(self._copy, encoder_name(key))
        ids = set(gen_empty_tokens(encoder.special_tokens, 3))
        for token, *_ in (entry for tokens in prompts for chunk in tokens[key] for entry in chunk):
            if not isinstance(token, torch.Tensor):
                ids.add(int(token))
        trained = ids if chosen is None else ids & chosen
        parts = (torch.tensor(sorted(part), dtype=torch.long) for part in (trained, ids - trained))
        rows = TokenRows(encoder.transformer.get_input_embeddings().weight, *parts)
        encoder.transformer.set_input_embeddings(rows)
        return rows

    def _felt(self, tokens: dict[str, list], unet_inputs) -> list[str]:
        """The names of the parameters that have a say in what the UNet reads of ``tokens``."""
        parameters = dict(self._copy.named_parameters())
        self._copy.requires_grad_(True)
        total = sum(value.sum() for value in unet_inputs([self(tokens)]).values())
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        self._copy.requires_grad_(False)
        return [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None]


def _part(name: str) -> str:
    """The part of the text encoders that a parameter belongs to: a layer, or all else of an encoder."""
    layer = re.match(r".*\.layers\.\d+(?=\.)", name)
    return TEXT_ENCODERS + (layer[0] if layer else name.partition(".")[0])
