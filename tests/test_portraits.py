"""The portrait world: its pictures depend on the vectors alone, on every entry of them, smoothly and where it says."""

import dataclasses

import numpy as np
import pytest
from styo.demo.portraits import FAMILIES, Content, Identity, Pose, Style, features, render
from styo.demo.portraits.head import outline
from styo.demo.portraits.scene import Scene
from styo.demo.portraits.shapes import pixels

# What a parameter needs to show: others that are its technique, or that make room for it.
NEEDS = {
    "glasses_round": {"glasses": 0.8},
    "tones": {"flatness": 1.0},
    "wobble": {"outline": 0.5},
    "ink_light": {"outline": 0.5},
    "ink_hue": {"outline": 0.5, "ink_light": 0.0},
    "texture_size": {"halftone": 1.0},
    "texture_angle": {"halftone": 1.0},
    "shadow_hue": {"duotone": 1.0},
    "light_hue": {"duotone": 1.0},
    "paper": {"duotone": 1.0},
}
RELAXED = Content(Identity(), Pose())


def with_value(parameters, name, value):
    """``parameters`` with the field ``name`` at ``value``, and with what it needs to show."""
    return dataclasses.replace(parameters, **{**NEEDS.get(name, {}), name: value})


def drawn(parameters):
    """The picture of an identity, a pose or a style, with everything else as usual."""
    if isinstance(parameters, Style):
        return render(RELAXED, parameters)
    part = "identity" if isinstance(parameters, Identity) else "pose"
    return render(dataclasses.replace(RELAXED, **{part: parameters}), Style())


def samples(count, *families, seed=0):
    """Random contents in random styles of ``families``, or of all."""
    rng = np.random.default_rng(seed)
    for family in (families or tuple(FAMILIES)) * count:
        yield Content.sample(rng), Style.sample(rng, family)


def change(one, other):
    """The mean difference of two pictures in 0..255."""
    return 255 * float(np.abs(one - other).mean())


def centre(weights, near):
    """The centre (x, y) in pixels of the ``weights`` [h, w] within 14 pixels of the point ``near``."""
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
    weights = np.where(np.hypot(x - near[0], y - near[1]) < 14, weights, 0)
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def place(content, style, name):
    """The landmark ``name`` in pixels of a picture of 128."""
    return np.array(features(content, style)[name]) * 128


def test_the_same_vectors_give_the_same_picture_whatever_the_global_generator_does():
    for content, style in samples(1):
        np.random.seed(0)
        state = np.random.get_state()[1].copy()
        first = render(content, style)
        assert np.array_equal(state, np.random.get_state()[1])
        np.random.seed(1)
        assert np.array_equal(first, render(Content.from_vector(content.vector), Style.from_vector(style.vector)))


@pytest.mark.parametrize("size", [64, 96, 128])
def test_pictures_have_the_asked_size_and_stay_in_range(size):
    rng = np.random.default_rng(1)
    anything = [
        [kind.from_vector(rng.uniform(-1, 1, len(kind.FIELDS))) for kind in (Content, Style)] for _ in range(20)
    ]
    for content, style in [*samples(1), *anything]:
        picture = render(content, style, size)
        assert picture.shape == (size, size, 3) and picture.dtype == np.float32
        assert np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1


@pytest.mark.parametrize(
    "kind, draw", [(Identity, Identity.sample), (Pose, Pose.sample), (Content, Content.sample), (Style, Style.free)]
)
def test_vectors_go_round_and_are_clipped(kind, draw):
    rng = np.random.default_rng(2)
    for _ in range(50):
        vector = draw(rng).vector
        assert vector.dtype == np.float32 and vector.shape == (len(kind.FIELDS),) and np.abs(vector).max() <= 1
        assert np.array_equal(kind.from_vector(vector).vector, vector)
    far = rng.uniform(-3, 3, len(kind.FIELDS)).astype(np.float32)
    assert np.array_equal(kind.from_vector(far).vector, np.clip(far, -1, 1))
    with pytest.raises(ValueError):
        kind.from_vector(far[:-1])


@pytest.mark.parametrize("kind, name", [(kind, name) for kind in (Identity, Pose, Style) for name in kind.FIELDS])
def test_every_parameter_shows(kind, name):
    pictures = [drawn(with_value(kind(), name, value)) for value in (-0.8, 0.0, 0.8)]
    assert max(change(pictures[0], pictures[1]), change(pictures[1], pictures[2])) > 0.05


def test_a_small_step_is_a_small_change():
    """Of every entry, in every third family by turns."""
    step = 0.004
    for number, (content, style) in enumerate(samples(1, seed=3)):
        picture = render(content, style)
        for kind, vector in ((Content, content.vector), (Style, style.vector)):
            for entry in range(number % 3, len(vector), 3):
                moved = vector.copy()
                moved[entry] += step if vector[entry] < 0 else -step
                pair = (kind.from_vector(moved), style) if kind is Content else (content, kind.from_vector(moved))
                assert change(picture, render(*pair)) < 4, kind.FIELDS[entry]


def test_sampled_people_differ():
    rng = np.random.default_rng(4)
    pictures = [render(Content(Identity.sample(rng), Pose()), Style()) for _ in range(20)]
    assert min(change(a, b) for i, a in enumerate(pictures) for b in pictures[:i]) > 10


def test_every_family_differs_from_a_photo():
    photo = render(RELAXED, Style())
    rng = np.random.default_rng(5)
    for family in set(FAMILIES) - {"photo"}:
        style = Style.sample(rng, family)
        same_light = dataclasses.replace(style, light_x=Style.light_x, light_y=Style.light_y)
        assert change(photo, render(RELAXED, same_light)) > 8, family


def test_the_iris_has_its_colour_at_the_eyes():
    rng = np.random.default_rng(6)
    for _ in range(20):
        content, style = Content.sample(rng), Style.photo(rng)
        for name in ("left_eye", "right_eye"):
            x, y = place(content, style, name)
            brown, blue = (
                render(
                    Content(
                        dataclasses.replace(content.identity, iris=iris, glasses=-1.0),
                        dataclasses.replace(content.pose, gaze_x=0.0, gaze_y=0.0),
                    ),
                    style,
                )[int(y) - 5 : int(y) + 6, int(x) - 5 : int(x) + 6].mean((0, 1))
                for iris in (-0.5, 0.7)
            )
            assert brown[0] > brown[2] and blue[2] - brown[2] > 0.03


@pytest.mark.parametrize("family", ["photo", "cel", "caricature", "cubist", "ink", "watercolour"])
@pytest.mark.parametrize(
    "field, landmarks, within",
    [
        ("iris", ("left_eye", "right_eye"), (2.5, 2.5)),
        ("nose_width", ("nose_tip",), (2.5, 6)),
        ("lip_fullness", ("mouth",), (2.5, 3)),
    ],
)
def test_landmarks_lie_where_the_parts_are_drawn(family, field, landmarks, within):
    for content, style in samples(5, family, seed=7):
        identity = dataclasses.replace(content.identity, beard=-1.0, moustache=-1.0, glasses=-1.0)
        pose = dataclasses.replace(content.pose, gaze_x=0.0, gaze_y=0.0, mouth_open=-1.0)
        style = dataclasses.replace(style, duotone=-1.0, flatness=-1.0)
        low, high = (Content(dataclasses.replace(identity, **{field: value}), pose) for value in (-0.7, 0.7))
        moved = np.abs(render(low, style) - render(high, style)).sum(2)
        for name in landmarks:
            expected = place(low, style, name)
            assert (np.abs(centre(moved, expected) - expected) < within).all(), name


@pytest.mark.parametrize("family", ["photo", "caricature", "cubist"])
def test_chin_crown_and_temples_lie_on_the_outline_of_the_head(family):
    for content, style in samples(10, family, seed=8):
        distance = pixels(outline(Scene(content, style, 128)))
        for name in ("chin", "crown", "left_temple", "right_temple"):
            x, y = place(content, style, name).astype(int)
            assert abs(distance[y, x]) < 3, name


def test_a_larger_picture_shows_the_same():
    for content, style in samples(10, "photo", seed=9):
        small, large = render(content, style, 64), render(content, style, 128)
        assert change(small, large.reshape(64, 2, 64, 2, 3).mean((1, 3))) < 3
