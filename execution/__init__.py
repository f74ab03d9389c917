"""How orders reach a venue."""
