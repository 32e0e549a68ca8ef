"""StyO Attention Preview: the heat lies where the tokens look, and every picture says whose it is."""

import numpy as np
import pytest
import torch
from passes import Graph, empty_latent
from styo.bridge import attention_preview
from styo.bridge.attention_preview import preview, token_names
from styo.bridge.capture import maps_of
from styo.nodes.attention_preview import StyOAttentionPreview
from styo.styo_attention.content_tokens import ContentTokens
from styo.styo_attention.heat_maps import mean_heat_maps, middle_of
from styo.styo_attention.heat_pictures import heat_picture
from styo.styo_attention.store import Course, Key, SourceMaps
from styo.training.prompts import Prompts

pytestmark = pytest.mark.usefixtures("inference_mode")

CONTENT = ContentTokens(
    (("source", 0, 0), ("negator", 0, 0), ("target", 0, 0), ("target", 0, 1)),
    (3, 4, 5, 6),
    ("sks</w>", "not</w>", "m</w>", "4</w>"),
)


def columns_lighting(size, place, tokens=4, heads=2):
    """Columns [1, heads, N, tokens] of a layer in which token i looks at the quarter ``place[i]``, (row, column)."""
    height, width = size
    maps = torch.full((1, heads, height, width, tokens), 0.01)
    for token, (row, column) in enumerate(place):
        maps[
            :, :, row * height // 2 : (row + 1) * height // 2, column * width // 2 : (column + 1) * width // 2, token
        ] = 0.9
    return maps.flatten(2, 3)


def source_maps(layers, sigmas=(10.0, 1.0), shape=(1, 4, 8, 12)):
    """Maps with the columns ``layers(sigma)``, {size: columns}, at each sigma."""
    maps = SourceMaps(torch.Size(shape), Course("euler", (*sigmas, 0.0)))
    for sigma in sigmas:
        evaluation = maps.open(sigma)
        for number, (size, columns) in enumerate(layers(sigma).items()):
            key = Key(("input", number, 0), 0, 0)
            evaluation.columns[key], maps.sizes[key] = columns, size
    maps.close([CONTENT])
    return maps


def heat_of(picture):
    """How far each pixel of a picture [H, W, 3] is from grey."""
    return picture.amax(-1) - picture.amin(-1)


def test_a_column_that_lights_a_known_place_gives_the_heat_there():
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    maps = source_maps(lambda _: {size: columns_lighting(size, places) for size in ((8, 12), (4, 6), (2, 3))})
    pictures = preview(maps, torch.full((1, 256, 384, 3), 0.5), 0, 1)
    assert pictures.shape[0] == 1 + 4
    for picture, (row, column) in zip(pictures[1:], places, strict=True):
        heat = heat_of(picture[:256])
        quarters = {(r, c): heat[r * 128 + 32 : r * 128 + 96, c * 192 + 48 : c * 192 + 144].mean() for r, c in places}
        assert max(quarters, key=quarters.get) == (row, column)
        assert quarters[row, column] > 1.5 * sorted(quarters.values())[-2]


def test_the_mean_is_over_heads_layers_and_steps():
    generator = torch.Generator().manual_seed(torch.seed() % 2**31)
    columns = [torch.rand(2, 3, 6, 4, generator=generator) for _ in range(4)]
    got = mean_heat_maps((c, (2, 3)) for c in columns)
    assert got.shape == (2, 4, 2, 3)
    for row in range(2):
        for token in range(4):
            for y in range(2):
                for x in range(3):
                    values = [float(c[row, head, y * 3 + x, token]) for c in columns for head in range(3)]
                    assert float(got[row, token, y, x]) == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_layers_of_other_sizes_count_the_same():
    fine, coarse = torch.full((1, 2, 16, 1), 0.2), torch.full((1, 2, 4, 1), 0.6)
    got = mean_heat_maps([(fine, (4, 4)), (coarse, (2, 2))])
    torch.testing.assert_close(got, torch.full((1, 1, 4, 4), 0.4))


def test_only_the_steps_of_the_range_count():
    early, late = [(0, 0)] * 4, [(1, 1)] * 4
    maps = source_maps(
        lambda sigma: {(8, 8): columns_lighting((8, 8), early if sigma == 10 else late)}, shape=(1, 4, 8, 8)
    )
    photo = torch.full((1, 256, 256, 3), 0.5)
    for start, end, (row, column) in ((0, 0.5, (0, 0)), (0.5, 1, (1, 1))):
        heat = heat_of(preview(maps, photo, start, end)[1][:256])
        quarters = {
            (r, c): heat[r * 128 : r * 128 + 128, c * 128 : c * 128 + 128].mean() for r in (0, 1) for c in (0, 1)
        }
        assert max(quarters, key=quarters.get) == (row, column)
    with pytest.raises(ValueError, match=r"none of the source pass's 2 steps lies between start_percent 0\.6 and"):
        preview(maps, photo, 0.6, 0.9)


def test_labels_come_in_token_order_and_name_the_token_within_its_word(monkeypatch):
    labels = []
    monkeypatch.setattr(
        attention_preview,
        "heat_picture",
        lambda photo, heat, label: labels.append(label) or heat_picture(photo, heat, label),
    )
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    preview(source_maps(lambda _: {(8, 12): columns_lighting((8, 12), places)}), torch.rand(1, 64, 96, 3), 0, 1)
    assert [label.split("   ")[0] for label in labels] == ["sks", "not", "[m] 4", "m [4]"]
    assert all(label.endswith("%") for label in labels)


def test_repetitions_of_a_word_are_numbered():
    graph = Graph(Prompts(content_repeats=2))
    names = token_names(maps_of(graph.source_pass(steps=1)).contents[0])
    assert [name for name in names if name.startswith("sks")] == ["sks #1", "sks #2"]
    assert names[-1] == "portrait"


@pytest.mark.parametrize("batch", [1, 2])
def test_the_node_on_a_real_source_pass(graph, batch):
    latent = graph.source_pass(latent=empty_latent(batch, 8, 12))
    photo = torch.rand(batch, 80, 100, 3)
    (image,) = StyOAttentionPreview.execute(latent, photo, 0.0, 1.0).args
    tokens = len(maps_of(latent).contents[0].positions)
    assert image.shape[0] == batch * (1 + tokens)
    assert image.shape[3] == 3 and image.shape[2] / (image.shape[1] * 9 / 10) == pytest.approx(12 / 8, rel=0.02)
    assert image.min() >= 0 and image.max() <= 1 and image.dtype == torch.float32


def test_a_latent_without_maps_is_refused_in_the_words_of_the_sockets():
    with pytest.raises(ValueError, match="StyO Attention Preview: the LATENT at `source` carries no attention maps"):
        StyOAttentionPreview.execute(empty_latent(), torch.rand(1, 64, 64, 3), 0.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "size", "kept"),
    [((90, 60), (8, 8), (60, 60)), ((60, 90), (8, 8), (60, 60)), ((64, 96), (8, 12), (64, 96))],
)
def test_a_photo_of_another_aspect_is_cut_to_its_middle(shape, size, kept):
    photo = torch.rand(*shape, 3)
    middle = middle_of(photo, size)
    assert tuple(middle.shape[:2]) == kept
    top, left = (shape[0] - kept[0]) // 2, (shape[1] - kept[1]) // 2
    assert torch.equal(middle, photo[top : top + kept[0], left : left + kept[1]])


def test_a_map_without_any_attention_is_drawn_as_cold():
    picture = np.asarray(heat_picture(torch.full((300, 300, 3), 0.5), torch.zeros(4, 4), "sks")).astype(int)
    assert picture[:300].std() == pytest.approx(picture[0, 0].std())
