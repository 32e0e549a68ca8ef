"""How good the pictures are, where the right answer is known."""
