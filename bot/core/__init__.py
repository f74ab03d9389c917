"""The desk: pure and synchronous. Facts come in, effects go out."""
