"""`qc`: QuantConnect from the command line. The account, live algorithms and signals are here, backtests in `qc_backtests`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import qc_backtests
from bot.cli.exits import ExitCode
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for
from bot.cli.qc_asking import Yes, agreed, ink, number, pairs, shown, typed

if TYPE_CHECKING:
    from bot.settings import Loaded

Project = Annotated[int, typer.Argument(metavar="PROJECT", min=1, help="The number of a project, as `qc projects` lists it.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Ask the service, however new the kept list is.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """QuantConnect: account, live algorithms, signals and backtests in its cloud.

    What changes something there is done by the running bot, if there is one.
    """


@app.command("test")
def try_access(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Try the credentials, and see what the account has."""
    from bot.cli.qc_views import access_lines

    found = shown(settings_for(config, data_dir), "qc.test", {}, as_json, lambda found: access_lines(found, ink()))
    raise typer.Exit(ExitCode.OK if found["ok"] else ExitCode.FAILURE)


@app.command("projects")
def projects(fresh: Fresh = False, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """List the projects."""
    from bot.cli.qc_views import projects_lines

    loaded = settings_for(config, data_dir)
    shown(loaded, "qc.projects", {"fresh": fresh}, as_json, lambda found: projects_lines(found, _kept(loaded)))


@app.command("algorithms")
def algorithms(
    active: Annotated[bool, typer.Option("--active", help="Only those that run.")] = False,
    fresh: Fresh = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """List the live algorithms, those that run first."""
    from bot.cli.qc_views import algorithms_lines

    loaded = settings_for(config, data_dir)
    args = {"active": active, "fresh": fresh}
    shown(loaded, "qc.algorithms", args, as_json, lambda found: algorithms_lines(found, _kept(loaded)))


@app.command("algorithm")
def algorithm(
    id: Annotated[str, typer.Argument(metavar="ID", help="The number of a project, or a deployment's id (L-...).")],  # noqa: A002
    rows: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="How many orders and trades, the newest.")] = 20,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show one live algorithm: how it stands, earns and holds, and what this bot made of it."""
    from bot.cli.qc_views import algorithm_lines

    loaded = settings_for(config, data_dir)
    shown(loaded, "qc.algorithm", {"id": id, "rows": rows}, as_json, lambda found: algorithm_lines(found, ink()))


@app.command("signals")
def signals(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow them until Ctrl-C.")] = False,
    project: Annotated[int | None, typer.Option(metavar="PROJECT", min=1, help="Only this project's.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="How many of each, the newest.")] = 20,
    journal: Annotated[bool, typer.Option("--journal/--no-journal", help="Those that the bot has decided on.")] = True,
    service: Annotated[bool, typer.Option("--service/--no-service", help="Those that the service holds now.")] = True,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=5, max=3_600, help="How often the service is asked, with -f and no bot.")
    ] = 60.0,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show signals: those that the bot has decided on with their fate, and those of the service as the bot would take them.

    With -f they are followed: the decisions of the running bot, else what the service says, asked again and again.
    """
    from bot.cli.qc_views import signals_lines

    loaded = settings_for(config, data_dir)
    if follow:
        from bot.cli.qc_follow import follow_signals

        follow_signals(loaded, project, every, as_json=as_json)
        return
    args = {"limit": limit, "project": project, "journal": journal, "service": service}
    shown(loaded, "qc.signals", args, as_json, lambda found: signals_lines(found, ink()))


@app.command("deploy")
def deploy(
    project: Project,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="A live node of `qc nodes` [the first free one].")] = None,
    cash: Annotated[
        list[str] | None, typer.Option(metavar="CURRENCY=AMOUNT", help="Paper cash; may be given more than once [USDT=10000].")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the algorithm; may be given more than once.")
    ] = None,
    brokerage: Annotated[
        str | None, typer.Option(metavar="ID", help="Another brokerage than QuantConnect's paper one, such as BinanceBrokerage.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A setting of that brokerage; keys as secret:NAME of a stored secret."),
    ] = None,
    confirm: Annotated[
        str, typer.Option(metavar="WORDS", help="For another brokerage, in place of a question: 'deploy PROJECT on ID'.")
    ] = "",
    redeploy: Annotated[bool, typer.Option("--redeploy", help="Let the service start it again when it fails.")] = False,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, max=3_600, help="How long to watch it start.")] = 120.0,
    yes: Yes = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Compile a project and start it live, with paper money unless another brokerage is named.

    It is never started twice: a project that runs already is refused, and a lost answer is looked up.
    """
    settings = None if brokerage is None else {"id": brokerage, **pairs(setting, "--setting")}
    if settings is None and setting:
        message = "settings are those of another brokerage; name it with --brokerage"
        raise typer.BadParameter(message, param_hint="--setting")
    args: dict[str, object] = {
        "project": project,
        "node": node,
        "parameters": pairs(parameter, "--parameter"),
        "brokerage": settings,
        "automatic_redeploy": redeploy,
        "wait_s": wait,
    }
    if cash:
        args["cash"] = {currency.upper(): number(amount, "--cash") for currency, amount in pairs(cash, "--cash").items()}
    if brokerage is None:
        agreed(f"Start project {project} live at QuantConnect, with paper money?", yes)
    else:
        args["confirmed"] = confirm or typed(f"deploy {project} on {brokerage}")
    _done("deployed", "qc.deploy", args, as_json, settings_for(config, data_dir))


@app.command("stop")
def stop(project: Project, yes: Yes = False, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Stop the live algorithm of a project; what it holds stays held."""
    agreed(f"Stop the live algorithm of project {project}? What it holds stays held.", yes)
    _done("stopped", "qc.stop", {"project": project}, as_json, settings_for(config, data_dir))


@app.command("liquidate")
def liquidate(
    project: Project, yes: Yes = False, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None
) -> None:
    """Close everything that the live algorithm of a project holds, and stop it."""
    agreed(f"Sell everything that the live algorithm of project {project} holds, and stop it?", yes)
    _done("liquidated", "qc.liquidate", {"project": project}, as_json, settings_for(config, data_dir))


@app.command("command")
def command(
    project: Project,
    body: Annotated[str, typer.Argument(metavar="JSON", help='What to tell it, such as \'{"$type": "Pause", "minutes": 5}\'.')],
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Tell the running algorithm of a project something: its `on_command` gets it."""
    try:
        told = json.loads(body)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write JSON", param_hint="JSON") from None
    if not isinstance(told, dict) or not told:
        message = 'a command is a JSON object with something in it, such as {"$type": "Pause"}'
        raise typer.BadParameter(message, param_hint="JSON")
    _done("told", "qc.command", {"project": project, "command": told}, as_json, settings_for(config, data_dir))


@app.command("nodes")
def nodes(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """List the machines of the account, and which are free."""
    from bot.cli.qc_views import nodes_lines

    shown(settings_for(config, data_dir), "qc.nodes", {}, as_json, nodes_lines)


def _done(verb: str, name: str, args: Mapping[str, object], as_json: bool, loaded: Loaded) -> None:
    from bot.cli.qc_views import outcome_line

    shown(loaded, name, args, as_json, lambda found: [outcome_line(verb, found)])


def _kept(loaded: Loaded) -> str:
    from bot.settings.kinds import duration_text

    return duration_text(loaded.settings.quantconnect.cache)


qc_backtests.register(app)
