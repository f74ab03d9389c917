"""An exchange that speaks the Binance spot dialect over real sockets, and misbehaves on demand.

One thought per module: `venue` knows the market as of now, `dialect` says it in Binance's words, `topics` names the streams,
`rest` answers questions, `hub` holds the sockets, `pump` sends events when they happen, `faults` are the ways to go wrong,
`admin` switches them over HTTP, `server` puts it together. Import `ExchangeSimulator` from `simulators.exchange.server`.
"""
