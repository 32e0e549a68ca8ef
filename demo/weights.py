"""The demo model's weights file."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..training import safetensors_file
from .shapes import CHANNELS
from .words import token_table

PATH = Path(__file__).with_name("model.safetensors")
UNET, TEXT, VAE = "unet.", "text.", "vae."
WORD_IDS, WORDS = "words.ids", "words.rows"
TOKEN_EMBEDDING = "clip_l.transformer.text_model.embeddings.token_embedding.weight"
TEXT_MODEL = "clip_l.transformer.text_model."


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class MissingWeights(RuntimeError):
    """The weights file is not where the pack keeps it."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """State dicts of UNet, CLIP text model (less its token table) and Autoencoder, and the learned words' rows."""

    unet: dict[str, torch.Tensor]
    text: dict[str, torch.Tensor]
    vae: dict[str, torch.Tensor]
    words: dict[int, torch.Tensor]

    def save(self, path: Path, metadata: dict[str, str]):
        """Write them in half precision."""
        parts = {UNET: self.unet, TEXT: self.text, VAE: self.vae}
        tensors = {prefix + name: w for prefix, part in parts.items() for name, w in part.items()}
        tensors[WORDS] = torch.stack(list(self.words.values()))
        tensors = {name: w.half() for name, w in tensors.items()}
        tensors[WORD_IDS] = torch.tensor(list(self.words))
        safetensors_file.write(path, tensors, metadata)

    @classmethod
    def load(cls, path: Path) -> Weights:
        """Those of a file, in float32; raises MissingWeights."""
        if not path.is_file():
            raise MissingWeights(
                f"StyO Demo Model has no weights: {path} is missing. Install the pack anew, or run "
                f"`git checkout -- {path.name}` in {path.parent}; `python scripts/train_demo_model.py` makes it anew."
            )
        tensors = load_file(path)
        words = dict(zip(tensors.pop(WORD_IDS).tolist(), tensors.pop(WORDS).float(), strict=True))
        unet, text, vae = (
            {name.removeprefix(prefix): w.float() for name, w in tensors.items() if name.startswith(prefix)}
            for prefix in (UNET, TEXT, VAE)
        )
        return cls(unet, text, vae, words)

    def text_encoder(self) -> dict[str, torch.Tensor]:
        """The state dict of ComfyUI's whole text encoder."""
        unused = {
            "clip_l.logit_scale": torch.tensor(1.0),
            "clip_l.transformer.text_projection.weight": torch.eye(CHANNELS),
        }
        model = {TEXT_MODEL + name: w for name, w in self.text.items()}
        return model | {TOKEN_EMBEDDING: token_table(self.words)} | unused
