"""Portraits whose truth is known: a person and a style in, a picture and its landmarks out."""

from __future__ import annotations

import numpy as np

from . import techniques, wobble
from .anatomy import NOSE_LIFT, Placement, measure
from .beard import paint_beard, paint_moustache
from .body import paint_background, paint_neck, paint_shirt
from .canvas import Canvas
from .content import Content
from .eyes import paint_brows, paint_eyes
from .glasses import paint_glasses
from .hair import Hair
from .head import outline, paint_cheeks, paint_ears, paint_head
from .light import lit
from .mouth import paint_mouth
from .nose import paint_nose
from .scene import Scene
from .style import Style


def render(content: Content, style: Style, size: int = 128) -> np.ndarray:
    """The portrait of ``content`` in ``style``, float32 [size, size, 3] in 0..1."""
    canvas = paint(content, style, size)
    picture = lit(canvas, style)
    for technique in techniques.IN_ORDER:
        picture = technique(picture, canvas, style)
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(1, 2, 0))


def paint(content: Content, style: Style, size: int) -> Canvas:
    """Everything in the picture, from back to front, before light and technique."""
    scene = Scene(content, style, size)
    hair, face = Hair(scene), outline(scene)
    paint_background(scene)
    hair.paint_back()
    paint_neck(scene)
    paint_shirt(scene)
    paint_ears(scene)
    cover = paint_head(scene, face)
    paint_cheeks(scene)
    paint_nose(scene)
    paint_beard(scene, face)
    paint_moustache(scene)
    paint_mouth(scene)
    paint_eyes(scene)
    paint_brows(scene)
    paint_glasses(scene)
    hair.paint_front(cover)
    return scene.canvas


def features(content: Content, style: Style) -> dict[str, tuple[float, float]]:
    """Landmarks (x, y) in 0..1, right and down, as ``style`` draws them; left and right are the picture's."""
    head = measure(content.identity, style)
    place = Placement(content.pose, style, head)
    smile = content.pose.smile
    mouth_x = head.mouth_width * (1 + 0.10 * smile)
    mouth_y = head.mouth_y - 0.055 * smile
    points = {
        "left_eye": place.face_to_picture(-head.eye_x, head.eye_y),
        "right_eye": place.face_to_picture(head.eye_x, head.eye_y),
        "left_brow": place.face_to_picture(-head.eye_x, head.brow_y),
        "right_brow": place.face_to_picture(head.eye_x, head.brow_y),
        "nose_tip": place.face_to_picture(0, head.nose_y, NOSE_LIFT),
        "mouth_left": place.face_to_picture(-mouth_x, mouth_y),
        "mouth_right": place.face_to_picture(mouth_x, mouth_y),
        "mouth": place.face_to_picture(0, head.mouth_y + 0.03 * smile),
        "chin": place.to_picture(0.16 * place.yaw, head.chin),
        "crown": place.to_picture(0, head.crown),
        "left_temple": place.to_picture(-head.half_width, 0),
        "right_temple": place.to_picture(head.half_width, 0),
    }
    points = {name: wobble.drawn(*point, style) for name, point in points.items()}
    return {name: ((x + 1) / 2, (y + 1) / 2) for name, (x, y) in points.items()}
