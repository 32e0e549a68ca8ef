"""Fine-grained Content Controller (StyO, section 3.3): content tokens, attention columns and their store."""
