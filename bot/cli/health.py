"""`healthcheck`: whether the bot of these settings is alive, for containers and supervisors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import ConfigDir, settings_for

if TYPE_CHECKING:
    from bot.settings.models import MetricsSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("healthcheck")(healthcheck)


def healthcheck(
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it is ready to trade, not only alive.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=60.0, help="How long to wait for the answer.")] = 3.0,
    config: ConfigDir = None,
) -> None:
    """Ask the running bot's own listener (`metrics.host`, `metrics.port`) how it is; exit code 0 only if it answers well.

    It answers as long as the desk's loop turns, whether trading is halted or not.
    """
    url = _address(settings_for(config).settings.metrics) + ("/readyz" if ready else "/healthz")
    typer.echo(_ask(url, timeout))


def _address(metrics: MetricsSettings) -> str:
    """Where to ask: a listener on every address is asked on loopback."""
    if not metrics.enabled or metrics.port == 0:
        key = "metrics.enabled is false" if not metrics.enabled else "metrics.port is 0, any free one"
        raise StopError(ExitCode.FAILURE, f"nobody can be asked: {key}; give the listener a port")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(metrics.host, metrics.host)  # noqa: S104 - compared with, not bound
    return f"http://[{host}]:{metrics.port}" if ":" in host else f"http://{host}:{metrics.port}"


def _ask(url: str, timeout: float) -> str:
    """The answer's text. `StopError` for everything but a 200, with the code that probes understand: 1."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener

    # The listener is on this machine or in this container: no proxy has a word in it.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            return str(answer.read(4_096).decode(errors="replace"))
    except HTTPError as error:
        with error:
            told = error.read(4_096).decode(errors="replace")
        raise StopError(ExitCode.FAILURE, f"{url} answers {error.code}: {told}") from error
    except TimeoutError as error:
        raise StopError(ExitCode.FAILURE, f"{url} does not answer within {timeout:g} s") from error
    except (OSError, HTTPException) as error:
        raise StopError(ExitCode.FAILURE, f"{url} cannot be asked: {getattr(error, 'reason', None) or error}") from error
