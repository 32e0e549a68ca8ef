"""Identifier Disentanglement Learner (StyO, section 3.2): prompts, losses, data, loop and weights."""
