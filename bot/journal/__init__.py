"""The journal: every proposal, order and fill, and every input for replay."""
