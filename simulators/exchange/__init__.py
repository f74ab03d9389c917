"""A spot exchange over real sockets, in the dialects of Binance and OKX, that misbehaves on demand.

One thought per module. The market: `venue` knows it as of now, `dialect` says it in Binance's words, `topics` names the
streams, `rest` answers questions, `hub` holds the sockets, `pump` sends events when they happen.

Accounts: `orders` and `events` are the words of the matching engine (`matching`, with `depth`, `clearing` and `accounts`);
`private` is what can be asked of it, by REST (`rest_private`, `signed`) and by socket (`wsapi`, `listen_keys`,
`user_streams`). The `okx_*` modules say all of it in a second dialect.

What goes wrong: `faults` of the market, `answer_faults` of requests (the `gate` applies them), `account_faults`; `mischief`
makes all of them happen, `admin` takes them over HTTP and `scenarios` from a script. `audit` tells the truth whatever is on.
`redirect` leads production names here. `server` puts it together: import `ExchangeSimulator` from
`simulators.exchange.server`.
"""
