"""The demo model's weights file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

PATH = Path(__file__).with_name("model.safetensors")
UNET, TEXT, VAE = "unet.", "text.", "vae."
WORD_IDS, WORDS = "words.ids", "words.rows"


def save(unet: dict, text: dict, vae: dict, words: dict[int, torch.Tensor], path: Path, metadata: dict[str, str]):
    """Write state dicts, and the rows of the ``words`` the model has learned by their token ids, in half precision."""
    parts = {UNET: unet, TEXT: text, VAE: vae}
    tensors = {prefix + name: w for prefix, part in parts.items() for name, w in part.items()}
    tensors[WORDS] = torch.stack(list(words.values()))
    tensors = {name: w.detach().half().contiguous().cpu() for name, w in tensors.items()}
    save_file({**tensors, WORD_IDS: torch.tensor(list(words))}, path, metadata)
