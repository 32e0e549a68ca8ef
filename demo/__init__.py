"""A small world of portraits whose right answers are known, and the tiny model that knows it."""
