"""Notifications as use cases: the channels, a test of one, and the log of what was delivered."""
