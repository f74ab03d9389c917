"""The desk driven by recorded candles; replay; statistics."""
