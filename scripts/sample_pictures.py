"""Pictures to try StyO on, from sample data that ships with the development tools: a photo, a painting, and faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

AUXILIARY_COUNT = 12
PHOTO_BOX = (95, 0, 351, 256)
SITTER_BOX = (86, 20, 406, 340)
PAINTING_SIZE = 512


def photo() -> Image.Image:
    """The source: the face of the astronaut Eileen Collins (NASA, public domain)."""
    from skimage import data

    return Image.fromarray(data.astronaut()).crop(PHOTO_BOX).resize((512, 512), Image.Resampling.LANCZOS)


def painting() -> Image.Image:
    """The target: a portrait in brush strokes and loud colours, after a photo of Grace Hopper (public domain)."""
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        sitter = Image.open(file).convert("RGB").crop(SITTER_BOX)
    sitter = sitter.resize((PAINTING_SIZE, PAINTING_SIZE), Image.Resampling.LANCZOS)
    colours = ImageEnhance.Contrast(ImageEnhance.Color(_recolour(_caricature(sitter))).enhance(2.2)).enhance(1.2)
    return paint(colours)


def auxiliary() -> list[Image.Image]:
    """Other people's faces, small and grey: a few of the Labeled Faces in the Wild."""
    from skimage import data

    faces = data.lfw_subset()[:AUXILIARY_COUNT]
    return [
        Image.fromarray((face * 255).astype(np.uint8)).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
        for face in faces
    ]


def write(folder: Path) -> tuple[Path, Path, Path]:
    """Save the photo, the painting and the folder of faces under ``folder``; returns their paths."""
    photo_file, painting_file, faces = folder / "photo.png", folder / "painting.png", folder / "faces"
    faces.mkdir(parents=True, exist_ok=True)
    photo().save(photo_file)
    painting().save(painting_file)
    for number, face in enumerate(auxiliary()):
        face.save(faces / f"{number:02}.png")
    return photo_file, painting_file, faces


def paint(picture: Image.Image, brushes: tuple[int, ...] = (24, 12, 6, 4)) -> Image.Image:
    """The picture in brush strokes along its edges, coarse ones first, finer ones only where they are still needed."""
    random = np.random.default_rng(0)
    canvas = Image.new("RGB", picture.size, tuple(np.asarray(picture).mean((0, 1)).astype(int)))
    draw = ImageDraw.Draw(canvas)
    width, height = picture.size
    for brush in brushes:
        seen = np.asarray(picture.filter(ImageFilter.GaussianBlur(brush / 2)), dtype=float)
        down, across = np.gradient(seen.mean(2))
        missing = np.abs(seen - np.asarray(canvas, dtype=float)).sum(2)
        places = random.uniform(0, 1, (3 * width * height // brush**2, 2)) * (width - 1, height - 1)
        for x, y in places:
            at = int(y), int(x)
            if missing[at] < 30:
                continue
            angle = np.arctan2(across[at], -down[at]) + random.normal(0, 0.15)
            reach = np.array([np.cos(angle), np.sin(angle)]) * brush * 1.4
            colour = tuple(np.clip(seen[at] + random.normal(0, 10, 3), 0, 255).astype(int))
            ends = [(x - reach[0], y - reach[1]), (x + reach[0], y + reach[1])]
            draw.line(ends, fill=colour, width=brush)
            for end in ends:
                draw.circle(end, brush / 2, fill=colour)
    return canvas


def _caricature(picture: Image.Image) -> Image.Image:
    """The middle of the face grown, the rest pulled in."""
    size = picture.width
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    y0 = y + 0.05
    shrink = 1 - 0.35 * np.exp(-(x**2 / 0.05 + y0**2 / 0.04))
    columns = np.clip((x * shrink + 0.5) * (size - 1), 0, size - 1).astype(int)
    rows = np.clip((y0 * shrink - 0.05 + 0.5) * (size - 1), 0, size - 1).astype(int)
    return Image.fromarray(np.asarray(picture)[rows, columns])


def _recolour(picture: Image.Image) -> Image.Image:
    """Shadows towards blue, lights towards orange: the painting's palette."""
    values = np.asarray(picture, dtype=float) / 255
    light = values.mean(2, keepdims=True)
    shadow, glow = np.array([0.10, 0.18, 0.50]), np.array([1.0, 0.80, 0.45])
    palette = shadow + (glow - shadow) * light
    return Image.fromarray((255 * np.clip(0.45 * values + 0.55 * palette, 0, 1)).astype(np.uint8))
