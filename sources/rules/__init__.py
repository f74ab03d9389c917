"""Traditional strategies: pure steps over closed candles."""
