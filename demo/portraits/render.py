"""Portraits whose truth is known: a person and a style in, a picture and its landmarks out."""

from __future__ import annotations

import numpy as np

from . import colours, techniques
from .anatomy import Placement, measure
from .body import paint_background, paint_neck, paint_shirt
from .content import Content
from .eyes import paint_brows, paint_eyes, paint_glasses
from .hair import Hair
from .head import paint_beard, paint_blush, paint_ears, paint_head
from .mouth import NOSE_LIFT, paint_mouth, paint_nose
from .scene import Scene
from .style import Style


def render(content: Content, style: Style, size: int = 128) -> np.ndarray:
    """The portrait of ``content`` in ``style``, float32 [size, size, 3] in 0..1."""
    canvas = paint(content, style, size).canvas
    picture = techniques.colour(canvas, style)
    picture = techniques.duotone(picture, canvas, style)
    picture = techniques.halftone(picture, canvas, style)
    picture = techniques.hatch(picture, canvas, style)
    picture = techniques.watercolour(picture, canvas, style)
    picture = techniques.neon(picture, canvas, style)
    picture = techniques.outline(picture, canvas, style)
    picture = techniques.mosaic(picture, style)
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(1, 2, 0))


def paint(content: Content, style: Style, size: int) -> Scene:
    """Everything in the picture, from back to front, before light and technique."""
    who = content.identity
    scene = Scene(content, style, size)
    skin = colours.skin(who.skin_tone, who.skin_warmth)
    scene.canvas.exposure = np.float32((0.62 / colours.luminance(skin)) ** 0.9)
    hair_colour = colours.hair(who.hair_tone, who.hair_warmth)
    hair = Hair(scene, hair_colour)
    paint_background(scene)
    hair.paint_back()
    paint_neck(scene, skin)
    paint_shirt(scene)
    paint_ears(scene, skin)
    face, coverage = paint_head(scene, skin)
    paint_blush(scene)
    paint_nose(scene, skin)
    paint_beard(scene, face, hair_colour * np.float32(0.85))
    paint_mouth(scene, skin)
    paint_eyes(scene, skin)
    paint_brows(scene, hair_colour * np.float32(0.7) + skin * np.float32(0.08))
    paint_glasses(scene)
    hair.paint_front(coverage)
    return scene


def features(content: Content, style: Style) -> dict[str, tuple[float, float]]:
    """Landmarks (x, y) in 0..1, right and down, as ``style`` draws them; left and right are the picture's."""
    head = measure(content.identity, style)
    place = Placement(content.pose, style, head.half_width * 1.14)
    smile = content.pose.smile
    mouth_x = head.mouth_width * (1 + 0.10 * smile)
    mouth_y = head.mouth_y - 0.055 * smile
    turn = place.yaw
    points = {
        "left_eye": place.face_to_picture(-head.eye_x, head.eye_y),
        "right_eye": place.face_to_picture(head.eye_x, head.eye_y),
        "left_brow": place.face_to_picture(-head.eye_x, head.brow_y),
        "right_brow": place.face_to_picture(head.eye_x, head.brow_y),
        "nose_tip": place.face_to_picture(0, head.nose_y, NOSE_LIFT),
        "mouth_left": place.face_to_picture(-mouth_x, mouth_y),
        "mouth_right": place.face_to_picture(mouth_x, mouth_y),
        "mouth": place.face_to_picture(0, head.mouth_y + 0.03 * smile),
        "chin": place.to_picture(0.16 * turn, head.chin),
        "crown": place.to_picture(0, head.crown),
        "left_temple": place.to_picture(-head.half_width, 0),
        "right_temple": place.to_picture(head.half_width, 0),
    }
    return {name: ((x + 1) / 2, (y + 1) / 2) for name, (x, y) in points.items()}
