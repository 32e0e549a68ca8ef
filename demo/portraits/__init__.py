"""A small world of portraits in which the truth about every picture is known."""

from .content import Content, Identity, Pose
from .render import features, render
from .style import FAMILIES, Style

__all__ = ["FAMILIES", "Content", "Identity", "Pose", "Style", "features", "render"]
