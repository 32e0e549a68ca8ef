"""All that has to be known on a GPU, in one run of a few minutes: is it right, how fast is it, does it fit."""
