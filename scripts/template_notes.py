"""What the notes in the templates say."""

FULL = """\
## One face photo + one artwork → the same person, drawn in that artwork's style

1. Choose the **checkpoint**: any Stable Diffusion 1.x model.
2. Choose the **photo** and the **artwork**. Both faces should lie in the middle square.
3. **Run.** Training takes its time once for a pair of pictures, and is saved; samples and losses appear on the node \
meanwhile. After that only the drawing runs again.

**Other pictures of the same pair**: change `seed`, `strength`, `cfg`, or `sampling_steps`.

**Not like the person?** *Source pass* should be the photo. If it isn't, raise `training_steps`. \
More `content_repeats` bring it closer to the photo, more `style_repeats` to the artwork; both train anew.

**Other faces** keep the source's detail. The checkpoint draws them here. Better: 200 photos of your own in \
**Load Image (from Folder)**, linked to `faces`.

**Not enough memory?** Set `optimizer` to `adafactor`, or open the template for 8 GB.

To see the whole graph, click the symbol at the top right of **Face stylization (StyO)**. It is the paper's: \
[StyO, arXiv 2303.03231](https://arxiv.org/abs/2303.03231).
"""

DEMO = """\
## A drawn face + a drawn artwork → the same person in that artwork's style

**Run.** Everything comes with the pack: a tiny model that knows drawn portraits, two people it has never seen, and \
faces of others. It takes a few minutes on a CPU.

*Result* is drawn from two seeds: with FCC both come nearer to the photo's pose.

Compare it with *The right answer*: how that artwork's style draws the person, by the program that drew both.

**Try**: another `source_identity` or `target_style` (both train anew), another `seed`, `strength` 0 (no FCC).

The model is small (128 pixels), so it shows what the steps do, not how good StyO can look. It takes a much higher \
learning rate than the paper's 1e-6.

With a checkpoint of your own: the template *Face stylization from one photo and one artwork*.
"""

SMALL = """\
## The same person in that artwork's style, on a GPU of 8 GB

1. Choose **checkpoint**, **photo** and **artwork**. Both faces should lie in the middle square.
2. **Run.** All weights are trained as in the paper, but with `optimizer` adafactor: about 4.1 GB at 512 pixels \
instead of 11. The steps are of the same size; their path is another.

**Less than 8 GB?** Set `method` to `cross_attention` (2.7 GB) or `lora` (2.3 GB); `learning_rate` 0 is its own.

**Out of memory while the faces are drawn?** They are drawn in one batch: set *how many* to 8.
"""

SAVED = """\
## More pictures of a pair that was trained before

1. Choose the **checkpoint** that was trained, and the weights (press **R** if the list lacks them).
2. Choose the **photo** again: its attention maps keep pose and detail.
3. **Run.** Four pictures from four seeds; `seed` gives four others.

`strength` below 1 lets the drawing leave the photo's pose. Another photo of the same person gives another pose.
"""

INVERTED = """\
## The noise that gives the photo back

As the main template, but **StyO Invert Source** finds the noise from which the trained model draws the photo itself \
(DDIM inversion). Source pass and drawing both start from it, with added noise off.

So the source pass is the photo to the pixel, and the drawing is near it before FCC does anything. There is one such \
noise, so `seed` changes nothing; the paper's own way (the main template) draws another picture for each seed.

The inversion costs about ten evaluations of the model a step. The log warns where it did not converge.
"""

REPEATS = """\
## What n_s and n_c do

Nine trainings, one for each pair of repeats, and the pictures in one. They are saved one by one, so a run that was \
cancelled goes on where it stopped.

- **Downwards**, `style_repeats` (n_s) 1, 2, 3: from photo-like to artistic.
- **To the right**, `content_repeats` (n_c) 1, 2, 3: closer to the photo, in the end a copy of it.

It takes nine times as long as the main template.
"""

OTHERS = """\
## Other faces, without a data set

StyO trains on faces of other people beside the photo, so that what only the photo has is kept apart. The paper takes \
200 photos of FFHQ; here the checkpoint draws them.

1. **Run**, and look the pictures over. They are in `output/StyO/faces`.
2. Move the good ones to a folder below `ComfyUI/input`.
3. In the main template, take **Load Image (from Folder)** for `faces`.

Does the photo have something special, such as a child's age or a beard? Then say so in the prompt: the faces should \
be like the photo in everything but the person.
"""

ONE_SAMPLER = """\
## The photo is read while the drawing is made

As the main template, but **StyO Source Attention** takes the place of source pass, Capture and Inject: at every step \
it noises the photo to that step's noise level, reads it under the source prompt, and puts its attention maps in place.

A step costs three evaluations of the model instead of four, nothing is stored, and sampler, steps and scheduler are \
free. It is another reading of the paper's equation: its figure shows a source pass.

Not like the person? Raise `training_steps`, or `content_repeats` (both train anew).
"""

XL = """\
## The same on Stable Diffusion XL, at 1024 pixels

1. Choose an SDXL **checkpoint**, the **photo** and the **artwork**. Both faces should lie in the middle square.
2. **Run.** Method `lora` trains a low-rank change, which fits a GPU of 12 GB; `learning_rate` 0 is its own.

**16 GB?** Set `method` to `cross_attention`.

**Out of memory while the faces are drawn?** They are drawn in one batch: set *how many* to 8.

The paper used Stable Diffusion 1.x; its settings have not been tuned for SDXL.
"""
