"""What the portrait benchmark measures with is right."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from portrait_quality import metrics, reading, rows, tables
from portrait_quality.colour_transfer import transfer_colours
from portrait_quality.inside import face, moved_towards
from portrait_quality.passes import Parts, train
from portrait_quality.recipe import RECIPE
from portrait_quality.rows import COMPONENTS, FULL_ROW, MAIN, MEASURES, PASSES, SETTINGS, Row
from portrait_quality.runs import Run, made_with
from portrait_quality.trainings import (
    COMPONENT_TRIPLES,
    DREAMBOOTH,
    FULL,
    INSPECTED_TRIPLES,
    NEGATIVE,
    POSITIVE,
    SETTING_TRIPLES,
    UNTRAINED,
    trainings,
)
from portrait_quality.triples import TRIPLES, tasks
from scipy import stats
from shared import launch
from shared.intervals import mean_and_interval
from skimage.color import rgb2lab
from styo.demo import weights
from styo.demo.held_out import EVALUATION_FAMILIES, EVALUATION_SEED, TUNING_FAMILIES, TUNING_SEED, identity, stranger
from styo.demo.portraits import Content, Identity, Pose, Style, features, render
from styo.demo.portraits.style import AMOUNTS
from templates import DEMO_CHOICES, PORTRAITS

EVALUATION, TUNING = tasks(), tasks(tuning=True)
DISTANCES = (
    metrics.pixel_error,
    metrics.blended_error,
    metrics.colour_distance,
    metrics.texture_distance,
)


def portraits(count, families, seed=77):
    """People that are not held out, as (content, style)."""
    rng, found = np.random.default_rng(seed), []
    for number in range(count):
        person = stranger(rng)
        style = Style.sample(rng, families[number % len(families)])
        found.append((Content(person, Pose.sample(rng)), style))
    return found


@pytest.fixture(scope="module")
def task():
    return EVALUATION[0]


@pytest.mark.parametrize(
    ("found", "seed", "families"),
    [(EVALUATION, EVALUATION_SEED, EVALUATION_FAMILIES), (TUNING, TUNING_SEED, TUNING_FAMILIES)],
)
def test_a_set_of_triples_is_of_its_own_people_and_families(found, seed, families):
    triples = [task.triple for task in found]
    people = [person for triple in triples for person in (triple.source.identity, triple.target.identity)]
    assert people == [identity(number, seed) for number in range(2 * TRIPLES)]
    names = [task.name.partition("-")[2] for task in found]
    assert {name: names.count(name) for name in names} == dict.fromkeys(families, TRIPLES // len(families))


def test_evaluation_and_tuning_share_no_pose_no_light_and_no_auxiliary_face():
    def shown(tasks):
        triples = [task.triple for task in tasks]
        poses = {content.pose for triple in triples for content in (triple.source, triple.target)}
        return poses, {triple.photo for triple in triples}

    for ours, theirs in zip(shown(EVALUATION), shown(TUNING), strict=True):
        assert ours and not ours & theirs
    ours, theirs = (
        {face.numpy().tobytes() for face in found[0].auxiliary(RECIPE.auxiliary_count)}
        for found in (EVALUATION, TUNING)
    )
    assert len(ours) == RECIPE.auxiliary_count and not ours & theirs


def test_triples_are_the_same_every_time(task):
    assert tasks()[0].triple == task.triple
    assert (task.source == tasks()[0].source).all()


def test_an_ablation_differs_in_what_its_name_says():
    found = {training.name: training for training in trainings(RECIPE)}
    own = {POSITIVE: {"negator", "auxiliary_count"}, NEGATIVE: {"auxiliary_count"}, UNTRAINED: {"steps"}, FULL: set()}
    for name, training in found.items():
        if name != DREAMBOOTH:
            setting, _, value = name.rpartition("-")
            expected = own.get(name, {setting.replace("-", "_")})
            changed = {n for n, v in vars(training.recipe).items() if v != getattr(RECIPE, n)}
            assert changed - {"learning_rate"} == expected, name
            assert "learning_rate" not in changed or setting in ("method", "optimizer"), "each has a rate of its own"
            assert not setting or str(getattr(training.recipe, setting.replace("-", "_"))) == value
        assert training.triples in (TRIPLES, COMPONENT_TRIPLES, SETTING_TRIPLES, INSPECTED_TRIPLES)


def test_dreambooth_has_one_identifier():
    (plain,) = [training.recipe for training in trainings(RECIPE) if training.name == DREAMBOOTH]
    assert plain.prompts.auxiliary == "a drawing with aug style of portrait"


def test_dreambooth_is_trained_on_the_artwork_alone(task):
    (plain,) = [training.recipe for training in trainings(RECIPE) if training.name == DREAMBOOTH]
    trained = train(Parts.demo(), {"auxiliary_images": task.target}, dataclasses.replace(plain, steps=1))
    assert trained.model.patches


def test_the_recipe_is_that_of_the_demos_template():
    ours = DEMO_CHOICES
    assert ours.identifiers == tuple(getattr(RECIPE, name) for name in ours.prompts)
    assert (ours.style_repeats, ours.content_repeats) == (RECIPE.style_repeats, RECIPE.content_repeats)
    assert (ours.method, ours.steps, ours.learning_rate) == (RECIPE.method, RECIPE.steps, RECIPE.learning_rate)
    assert (ours.size, ours.sampling_steps, ours.cfg) == (RECIPE.resolution, RECIPE.sampling_steps, RECIPE.cfg)
    assert (ours.sampler, ours.scheduler) == (RECIPE.sampler, RECIPE.scheduler)
    learned = {name: value for name, value in ours.training.items() if name != "preview_every"}
    assert learned == {name: getattr(RECIPE, name) for name in learned}
    assert list(PORTRAITS.values()) == [0, 40, 41, "cel", RECIPE.auxiliary_count], "what the regression test is of"


def test_colour_transfer_reaches_the_statistics_of_the_target():
    rng = np.random.default_rng(0)
    source, target = rng.uniform(0.35, 0.65, (2, 32, 32, 3))
    target = target * [0.7, 0.9, 0.8]
    moved = rgb2lab(transfer_colours(source, target))
    assert moved.mean((0, 1)) == pytest.approx(rgb2lab(target).mean((0, 1)), abs=0.1)
    assert moved.std((0, 1)) == pytest.approx(rgb2lab(target).std((0, 1)), abs=0.1)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_distance_is_0_for_equal_pictures_and_grows(distance, task):
    picture = task.ground_truth[0].numpy()
    noise = np.random.default_rng(0).normal(size=picture.shape).astype(np.float32)
    far = [distance(np.clip(picture + amount * noise, 0, 1), picture) for amount in (0, 0.05, 0.2)]
    assert far[0] == 0
    assert far[0] < far[1] < far[2]


def test_similarity_is_1_for_equal_pictures_and_falls(task):
    picture = task.ground_truth[0].numpy()
    assert metrics.similarity(picture, picture) == pytest.approx(1)
    assert metrics.similarity(picture, picture[:, ::-1]) < 0.9


def test_diversity_is_the_mean_difference_of_two_seeds():
    pictures = np.stack([np.full((8, 8, 3), value) for value in (0.1, 0.2, 0.5)])
    assert metrics.diversity(pictures) == pytest.approx((0.1 + 0.4 + 0.3) / 3)
    assert metrics.diversity(pictures[:1]) == metrics.diversity(pictures[[0, 0]]) == 0


def test_columns_that_tell_everything_bring_a_picture_all_the_way_to_the_other_seed():
    class AllTelling:
        parts = SimpleNamespace(decode=torch.from_numpy)

        def captured_stylization(self, seed):
            return np.full((1, 4, 4, 3), 0.1 * seed)

        def stylization(self, seed, source):
            return source

    class Deaf(AllTelling):
        def stylization(self, seed, source):
            return self.captured_stylization(seed)

    apart = (0.1 + 0.1 + 0.2) / 3
    assert moved_towards(AllTelling()) == pytest.approx((apart, 1, 1))
    assert moved_towards(Deaf()) == pytest.approx((apart, 0, 0))


def test_colours_do_not_depend_on_their_places(task):
    picture = task.ground_truth[0].numpy()
    assert metrics.colour_distance(picture, picture[::-1]) == pytest.approx(0, abs=1e-6)


def test_the_interval_is_that_of_a_mean_over_triples():
    values = np.arange(12.0)
    mean, low, high = mean_and_interval(values)
    assert mean == 5.5
    students = stats.t.interval(0.95, 11, mean, values.std(ddof=1) / np.sqrt(12))
    assert (low, high) == pytest.approx(students, abs=0.1)
    assert mean_and_interval(np.full(12, 2.0)) == (2, 2, 2)


@pytest.mark.parametrize("triples", [6, 30])
def test_the_interval_holds_the_true_mean_in_95_of_100_cases(triples):
    rng = np.random.default_rng(triples)
    found = [mean_and_interval(rng.normal(size=triples))[1:] for _ in range(300)]
    assert 0.92 < np.mean([low < 0 < high for low, high in found]) < 0.98


def test_the_face_holds_the_eyes_and_not_the_corners(task):
    landmarks = features(task.triple.source, task.triple.photo)
    inside = face(landmarks, 64)
    assert 0.1 < inside.mean() < 0.6
    for name in ("left_eye", "right_eye", "nose_tip", "mouth"):
        x, y = landmarks[name]
        assert inside[int(64 * y), int(64 * x)]
    assert not inside[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_an_amount_that_does_nothing_counts_as_none():
    none, less = (reading.truth(Content(Identity(beard=beard), Pose()), Style(neon=beard)) for beard in (-0.1, -0.9))
    assert (none == less).all()


def test_groups_are_parts_of_the_numbers_in_their_order(task):
    content, style = task.triple.source, task.triple.style
    numbers = reading.truth(content, style)
    parts = [reading.group(numbers, name) for name in reading.GROUPS]
    assert (np.concatenate(parts) == numbers).all()
    amounts = (reading.CONTENT_AMOUNTS, AMOUNTS)
    for part, parameters, clipped in zip(parts[:2], (content, style), amounts, strict=True):
        named = zip(parameters.FIELDS, parameters.vector, strict=True)
        assert part.tolist() == [max(value, 0) if name in clipped else value for name, value in named]
    landmarks = features(content, style)
    assert parts[2].reshape(-1, 2) == pytest.approx(np.array(list(landmarks.values())))


def test_what_the_network_says_tells_the_numbers():
    true = np.stack([reading.truth(*portrait) for portrait in portraits(20, EVALUATION_FAMILIES)])
    said = reading.to_outputs(true)
    assert said.shape == (20, reading.OUTPUTS)
    assert reading.apart(reading.from_outputs(said), true).max() < 1e-6
    at = reading.HUES
    beyond = true.copy()
    true[:, at], beyond[:, at] = 0.999, -0.999
    assert np.abs(reading.to_outputs(beyond) - reading.to_outputs(true)).max() < 0.01


def test_the_reader_reads_what_it_claims():
    reader, metadata = reading.load()
    claimed = json.loads(metadata["landmark_error_pixels"])["held-out families"]
    people = portraits(60, EVALUATION_FAMILIES)
    true = np.stack([reading.truth(*portrait) for portrait in people])
    read = reader.read(np.stack([render(*portrait) for portrait in people]))
    assert reader.landmark_error(read, true).mean() < 1.3 * claimed
    others = np.roll(true, 1, axis=0)
    for group in ("content", "style"):
        assert reader.error(read, true, group).mean() < 0.6 * reader.error(others, true, group).mean()
    fields = {"content": Content.FIELDS, "style": Style.FIELDS}
    counted = json.loads(metadata["counted"])
    for group, names in fields.items():
        flags = reading.group(reader.counted, group)
        assert counted[group] == [name for name, flag in zip(names, flags, strict=True) if flag]


def test_hues_are_compared_around_the_circle():
    reader, _ = reading.load()
    at = len(Content.FIELDS) + Style.FIELDS.index("light_hue")
    true = np.zeros((3, sum(reading.GROUPS.values())), np.float32)
    read = true.copy()
    true[:, at], read[:, at] = -0.95, (-0.85, 0.95, 0.0)
    near, across, far = reader.error(read, true, "style")
    assert near == pytest.approx(across, rel=1e-4) and far > 9 * near > 0


def test_the_readers_file_is_small():
    assert reading.PATH.stat().st_size < 1e6
    assert sum(w.numel() for w in reading.load()[0].network.parameters()) <= 400_000


def made_up_row(name, *values):
    return Row(name, dict.fromkeys(MEASURES, np.array(values)), [])


def test_differences_are_how_much_more_a_row_has_than_styo_as_shipped():
    table = tables.differences([made_up_row("other", 0.5, 0.7), made_up_row(FULL_ROW, 0.25, 0.45)])
    assert [row[0] for row in table] == ["", "other"]
    assert table[1][1] == "+0.250 (+0.250 .. +0.250)"


def test_every_training_that_changes_one_thing_is_a_row(monkeypatch):
    """Their tables by title, of rows that are measured by nobody."""

    def judged(name, tasks, pictures, of_photo=False):
        return Row(name, {}, tasks)

    found = [training for training in trainings(RECIPE) if training.name not in (DREAMBOOTH, UNTRAINED)]
    runs = {training.name: dict.fromkeys(task.name for task in EVALUATION[: training.triples]) for training in found}
    monkeypatch.setattr(rows, "_through_vae", lambda image: None)
    made = rows.tables_of_rows(SimpleNamespace(row=judged), runs, EVALUATION)
    assert [(row.name, len(row.first)) for row in made[COMPONENTS]][-1] == (FULL_ROW, COMPONENT_TRIPLES)
    assert [(row.name, len(row.first)) for row in made[SETTINGS]][-1] == (FULL_ROW, SETTING_TRIPLES)
    titles = {row.name for title in (COMPONENTS, SETTINGS) for row in made[title]}
    assert len(titles) == len(found), "each has its row"
    assert "train_identifiers False" in titles


def test_the_loss_matrix_has_prompts_as_rows_and_pictures_as_columns():
    def run(losses):
        return {name: SimpleNamespace(numbers={"losses": losses}) for name in "01"}

    trained = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.2]]
    table = tables.losses({UNTRAINED: run(np.ones((3, 3)).tolist()), FULL: run(trained)})
    head, target = table[0], table[2]
    assert target[0] == "target" and target[head.index("source, trained")] == "0.4000"
    margins = table[-1]
    assert margins[head.index("source, trained")].startswith("+0.3000"), "its own prompt's 0.1 against the target's 0.4"
    assert margins[head.index("target, trained")].startswith("-0.3000"), "another prompt is better"


def test_a_run_is_done_anew_for_another_recipe_model_device_or_picture(task, tmp_path, monkeypatch):
    full = next(training for training in trainings(RECIPE) if training.name == FULL)
    longer = dataclasses.replace(full, recipe=dataclasses.replace(RECIPE, steps=RECIPE.steps + 1))
    moved = dataclasses.replace(task, triple=EVALUATION[1].triple)
    now, another = made_with("cpu"), made_with("cuda")
    monkeypatch.setattr(weights, "PATH", reading.PATH)
    retrained = made_with("cpu")
    monkeypatch.undo()
    assert made_with("cpu") == now
    models = [(task, full, made) for made in (now, another, retrained)]
    cases = [*models, (task, longer, now), (moved, full, now)]
    folders = {Run.within(tmp_path, *case).folder for case in cases}
    assert len(folders) == len(cases)
    assert Run.within(tmp_path, task, full, now).folder in folders


def test_whatever_figures_are_published_are_of_the_shipped_model_reader_and_recipe():
    for path in (launch.ROOT / "benchmarks/results").glob("portraits-cpu.json"):
        published = json.loads(path.read_text("utf-8"))
        assert published["recipe"] == dataclasses.asdict(RECIPE)
        assert published["triples"] == [task.name for task in EVALUATION]
        assert published["figures"].keys() == {MAIN, PASSES, COMPONENTS, SETTINGS}
        for name, weights_path in (("model", weights.PATH), ("reader", reading.PATH)):
            assert weights.digest(weights_path).startswith(published["environment"][name]), name
