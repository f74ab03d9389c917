"""QuantConnect: its cloud as a client sees it, and the opinions that come from there."""
