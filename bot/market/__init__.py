"""Market data: feeds from venues, the simulated and the recorded market."""
