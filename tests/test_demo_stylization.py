"""Stylization itself: on the demo model, StyO comes nearer to the right answer than what needs no StyO."""

import numpy as np
import pytest
import torch
from colour_transfer import transfer_colours
from portrait_metrics import pixel_error
from portrait_passes import Parts, Passes, train
from portrait_recipe import RECIPE
from portrait_triples import Task
from styo.demo.held_out import TUNING_SEED
from styo.demo.triples import Triple

MARGIN = 0.9
"""StyO's error, at most, as a share of the best of the others'."""


@pytest.fixture(scope="module")
def task():
    """Two people the model has never seen, one of them drawn as a cartoon."""
    return Task("fixed", Triple.of(TUNING_SEED, 40, 41, "cel", 0), 0)


@pytest.fixture(scope="module")
def stylized(task):
    """The portrait as StyO draws it: trained, inverted, with FCC; [128, 128, 3]."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = {
        "source_image": task.source,
        "target_image": task.target,
        "auxiliary_images": task.auxiliary(RECIPE.auxiliary_count),
    }
    passes = Passes(train(Parts.demo(), images, RECIPE), RECIPE)
    latent = passes.from_inverted(task.source).stylized()
    torch.set_num_threads(threads)
    return passes.parts.decode(latent)[0].numpy()


@pytest.mark.parametrize("other", ["the source itself", "the target itself", "colour transfer"])
def test_styo_is_nearer_to_the_ground_truth(task, stylized, other):
    source, target, truth = (image[0].numpy() for image in (task.source, task.target, task.ground_truth))
    others = {
        "the source itself": source,
        "the target itself": target,
        "colour transfer": transfer_colours(source, target),
    }
    ours, theirs = (pixel_error(picture, truth) for picture in (stylized, others[other]))
    print(f"error to the ground truth: StyO {ours:.3f}, {other} {theirs:.3f}")
    assert np.isfinite(stylized).all()
    assert ours < MARGIN * theirs
