"""Other ways the pack could do its work, each against the way it does."""
