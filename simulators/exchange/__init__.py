"""An exchange that speaks the Binance spot dialect."""
