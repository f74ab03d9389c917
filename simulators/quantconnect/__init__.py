"""QuantConnect's REST API v2 over real sockets: stateful, with backtests and live algorithms that really run.

The service: `transport` takes requests apart, `auth` knows the user, `gate` is what each request passes, `world` is what the
service knows, `terms` what it grants. The rooms: `projects`, `compiling`, `backtesting` (with `backtests`), `optimizing`, `live`
(with `deployment` and `webhooks`), `objects`, `account`.

The runs: `lean` is the stand-in for LEAN's Python API (the `lean_*` modules are its parts), `market` the candles, `worker` the
process and `sandbox` the fence behind which uploaded text is executed, `jobs` how the server holds such a process; `performance`,
`charts` and `results` say what came of it in QuantConnect's formats.

What goes wrong: `faults` and `quirks`; `mischief` makes them happen and `admin` takes them over HTTP. `server` puts it together:
import `QuantConnectSimulator` from `simulators.quantconnect.server`.
"""
