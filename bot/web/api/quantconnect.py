"""QuantConnect: access to it, live algorithms, signals, backtests in its cloud, and what they taught.

No argument that names a file of this machine comes from here. What trades, or ends what trades, is confirmed in two steps. Asking
the service needs the scope `trade`: each question is one less of the calls that it allows, and takes one of the bot's few jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bot.services.quantconnect.live_cases import DeployArguments
from bot.services.use_case import use_case
from bot.web.api.etags import TaggedRoute, etag_of, require_match
from bot.web.api.offers import API_ROOT, WAIT_SECONDS, JobBegun, Offer, plain, router_of
from bot.web.api.settings import base_of, changed
from bot.web.problems import Problem, not_found
from bot.web.room import ControlRoom, Room, checked
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import Admin, Reader, Trader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Principal, Scope
from sources.quantconnect.client_live import PAPER

router = APIRouter(tags=["quantconnect"], route_class=TaggedRoute)
# Without records of requests: a secret must not even be remembered as the hash of a request.
sealing = APIRouter(tags=["quantconnect"])

SECTION = "quantconnect"
SECRETS: Mapping[str, str] = {
    "user_id": "QUANTCONNECT_USER_ID",
    "api_token": "QUANTCONNECT_API_TOKEN",
    "webhook_secret": "QUANTCONNECT_WEBHOOK_SECRET",
}
"""What each secret is called here, and where it is kept."""
_FILES = frozenset({"out"})
_LARGEST_ID = 2**53

Answer = dict[str, Any]
SignalId = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9_.:#-]+$", description="a signal's id")]
ProjectWanted = Annotated[int | None, Query(gt=0, le=_LARGEST_ID, description="the project that emitted it")]
Words = Annotated[str, Field(max_length=200)]
Sealed = Annotated[SecretStr, Field(min_length=1, max_length=4_096, json_schema_extra={"writeOnly": True})]


class AccessSettings(BaseModel):
    """Settings of the section `quantconnect`; those that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    base_url: Words | None = Field(None, description="the REST API")
    organization: Words | None = Field(None, description="id of the organization; empty: the preferred one of the account")
    calls: int | None = Field(None, ge=10, le=100_000, description="calls in any `window`")
    window: Words | None = Field(None, description="what `calls` are counted in, such as 1m")
    cache: Words | None = Field(None, description="lists are at most this old, such as 1m")


class AccessSecrets(BaseModel):
    """Who asks. They go in and never come out again."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    user_id: Sealed | None = None
    api_token: Sealed | None = None
    webhook_secret: Sealed | None = None


class Access(BaseModel):
    """What is to change of the access."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    settings: AccessSettings = AccessSettings()
    secrets: AccessSecrets = AccessSecrets()
    note: Words = Field("", description="why; kept in the history")


async def access_shown(room: ControlRoom, principal: Principal) -> Answer:
    """The access as it is: settings with their origin, what the next start changes, and secrets by their masks.

    `secrets` are None while no bot runs: it alone opens the encrypted file.
    """
    shown = await room.ask("config.show", {"section": SECTION}, principal)
    try:
        listed = (await room.ask("config.secrets", {}, principal))["secrets"]
    except Problem as problem:
        if problem.status != 503:
            raise
        listed = None
    by_name = None if listed is None else {row["name"]: row for row in listed}
    return {
        "settings": shown["settings"],
        "pending": [row for row in shown["pending"] if str(row["key"]).partition(".")[0] == SECTION],
        "problem": shown["problem"],
        "secrets": None if by_name is None else {key: _secret(by_name.get(name), name) for key, name in SECRETS.items()},
    }


def _secret(row: Mapping[str, Any] | None, name: str) -> Answer:
    if row is None:
        return {"name": name, "set": False, "origin": None, "masked": None, "updated": None}
    return {key: row[key] for key in ("name", "set", "origin", "masked", "updated")}


@router.get("/quantconnect/config")
async def config(room: Room, principal: Reader) -> ORJSONResponse:
    """How QuantConnect is reached, and which secrets are set, masked."""
    shown = await access_shown(room, principal)
    return ORJSONResponse(shown, headers={"etag": etag_of(shown)})


@sealing.put("/quantconnect/config")
async def set_config(room: Room, principal: Admin, request: Request, response: Response, wish: Access) -> Answer:
    """Change settings and secrets; they act with the bot's next start. What can be refused is refused before anything is done."""
    base = await base_of(room, request)
    shown = await access_shown(room, principal)
    require_match(request, etag_of(shown))
    changes = _changes(shown, wish.settings)
    secrets = {key: getattr(wish.secrets, key) for key in SECRETS if getattr(wish.secrets, key) is not None}
    if not changes and not secrets:
        raise Problem(422, "Nothing to change", "name at least one of `settings` or `secrets` that is not so already")
    author = principal.actor[:60]
    steps = [_Step("settings", "config.set", {"changes": changes, "note": wish.note, "author": author})] if changes else []
    for key, value in secrets.items():
        _refuse_environment(shown, key)
        sealed = {"name": SECRETS[key], "value": value.get_secret_value(), "author": author}
        steps.append(_Step(key, "config.secret-set", sealed))
    await _taken(room, principal, request, steps, base)
    return await _shown_anew(room, principal, response)


@dataclass(frozen=True, slots=True)
class _Step:
    """One of several changes; `name` tells its nonce apart, and says what was done."""

    name: str
    use_case: str
    args: Mapping[str, object] = field(repr=False)


async def _taken(room: ControlRoom, principal: Principal, request: Request, steps: Sequence[_Step], base: str | None) -> None:
    """Take the steps one after another; a `Problem` of a later one says what was done. All are checked first."""
    for step in steps:
        checked(use_case(step.use_case), step.args)
    done: list[str] = []
    for step in steps:
        known = base if step.use_case in {"config.set", "config.unset"} else None
        try:
            await changed(room, step.use_case, step.args, principal, known, nonce_of(request, step.name))
        except Problem as problem:
            if not done:
                raise
            detail = f"{problem.detail}; done before that, and not taken back: {', '.join(done)}"
            raise Problem(problem.status, problem.title, detail, done=done) from problem
        done.append(step.name)


def _refuse_environment(shown: Answer, key: str) -> None:
    """`Problem` 409 for a secret that the environment says: what is sealed would never be used."""
    row = (shown["secrets"] or {}).get(key)
    if row is not None and str(row["origin"] or "").startswith("environment"):
        detail = f"{row['name']} comes from the {row['origin']}, which goes before the encrypted file; unset it there first"
        raise Problem(409, "Not done", f"{detail}; nothing was changed")


def _changes(shown: Answer, wish: AccessSettings) -> dict[str, object]:
    """What differs from what the next start would read: nothing else is written over the YAML files."""
    then: dict[str, set[object]] = {row["key"]: {row["value"], row["text"]} for row in shown["settings"]}
    then |= {row["key"]: {row["next"]} for row in shown["pending"]}
    wanted = {f"{SECTION}.{key}": value for key, value in wish.model_dump(exclude_none=True).items()}
    return {key: value for key, value in wanted.items() if value not in then.get(key, set())}


@router.delete("/quantconnect/config")
async def delete_config(room: Room, principal: Admin, request: Request, response: Response) -> Answer:
    """Forget the secrets of the encrypted file, and leave the settings to the YAML files again."""
    base = await base_of(room, request)
    shown = await access_shown(room, principal)
    require_match(request, etag_of(shown))
    stored = [row["name"] for row in (shown["secrets"] or {}).values() if row["set"] and row["updated"] is not None]
    overlaid = {row["key"] for row in shown["settings"] if row["kind"] == "overlay"}
    overlaid |= {row["key"] for row in shown["pending"] if str(row["origin"]).startswith("overlay")}
    what = ", ".join([*stored, *sorted(overlaid)])
    if not what:
        raise Problem(409, "Nothing to forget", "no secret of it is in the encrypted file, and no setting in the overlay")
    text = f"Forget {what}. From the next start on the bot does not reach QuantConnect with them."
    await require_confirmation(request, principal, "delete-quantconnect-config", {"what": what}, text)
    author = principal.actor[:60]
    steps = [_Step("settings", "config.unset", {"keys": sorted(overlaid), "author": author})] if overlaid else []
    for name in stored:
        steps.append(_Step(name, "config.secret-delete", {"name": name, "author": author}))  # noqa: PERF401 - the document reads its name here
    await _taken(room, principal, request, steps, base)
    return await _shown_anew(room, principal, response)


async def _shown_anew(room: ControlRoom, principal: Principal, response: Response) -> Answer:
    shown = await access_shown(room, principal)
    response.headers["etag"] = etag_of(shown)
    return shown


@router.post("/quantconnect/algorithms", status_code=202)
async def deploy(room: Room, principal: Trader, request: Request, wish: DeployArguments) -> JobBegun:
    """Start the live algorithm of a project, on paper unless a brokerage is named; a job follows it until it runs."""
    args = plain(wish)
    text = deploy_text(wish, simulated=(await room.world()).simulated)
    await require_confirmation(request, principal, "qc.deploy", args, text)
    return JobBegun(job=str((await room.ask("qc.deploy", args, principal, nonce=nonce_of(request)))["job"]))


def deploy_text(wish: DeployArguments, *, simulated: bool) -> str:
    """What a deployment would do, in plain words; above all whose money it is."""
    brokerage = (wish.brokerage or {}).get("id", PAPER)
    cash = ", ".join(f"{amount:,.12g} {currency}" for currency, amount in wish.cash.items())
    if simulated:
        return f"Start the algorithm of project {wish.project} at the SIMULATED QuantConnect: no real money."
    if brokerage == PAPER:
        return f"Start the algorithm of project {wish.project} live, with PAPER money ({cash})."
    return f"Start the algorithm of project {wish.project} on {brokerage!s:.60}: it may trade REAL MONEY of yours."


@router.get("/quantconnect/signals/{id}")
async def signal(room: Room, principal: Trader, id: SignalId, project: ProjectWanted = None) -> Answer:  # noqa: A002
    """One signal: what the bot decided on it, and what the service holds of it."""
    found = await signal_found(room, principal, id, project)
    if found["journaled"] is None and found["fresh"] is None and not found["known"]:
        told = "".join(f"; {where}: {trouble}" for where, trouble in found["troubles"].items())
        raise not_found(f"neither the journal nor the service knows a signal {id!r}{told}")
    return found


async def signal_found(room: ControlRoom, principal: Principal, name: str, project: int | None) -> Answer:
    """What is known of a signal; `Problem` 503 if that takes too long."""
    args = {"id": name} if project is None else {"id": name, "project": project}
    return await answered(room, principal, "qc.signal", args)


async def answered(room: ControlRoom, principal: Principal, name: str, args: Mapping[str, object]) -> Answer:
    """What a question comes to, however long it takes within reason; `Problem` 503 with its job beyond that."""
    answer = await room.ask(name, args, principal)
    if set(answer) != {"job"}:
        return dict(answer)
    done = await room.finished(str(answer["job"]), principal, WAIT_SECONDS)
    if done is None:
        where = f"{API_ROOT}/jobs/{answer['job']}"
        raise Problem(503, "Not there yet", f"QuantConnect takes its time; look at {where}", job=answer["job"])
    return dict(done)


_STOP = "Stop the live algorithm of project {project}. What it holds stays held."
_LIQUIDATE = "Close everything that the live algorithm of project {project} holds, at the market, and stop it."
_COMMAND = "Tell the live algorithm of project {project} this, on which it may trade: {command!s:.300}"
_PROCESS = "Decide on the signal {id} now: the desk treats it like any other, and may trade."
_DELETE = "Delete the backtest {project}/{backtest} at QuantConnect; one that runs is stopped."
_SWEEP = "Run the sweep: it occupies nodes for hours, and by optimization it costs credit."

OFFERS = (
    Offer("POST", "/quantconnect/auth/test", "qc.test", Scope.TRADE),
    Offer("GET", "/quantconnect/status", "qc.status"),
    Offer("GET", "/quantconnect/projects", "qc.projects", Scope.TRADE),
    Offer("GET", "/quantconnect/nodes", "qc.nodes", Scope.TRADE),
    Offer("GET", "/quantconnect/algorithms", "qc.algorithms", Scope.TRADE),
    Offer("GET", "/quantconnect/algorithms/{id}", "qc.algorithm", Scope.TRADE),
    Offer("POST", "/quantconnect/algorithms/{project}/stop", "qc.stop", Scope.TRADE, _STOP),
    Offer("POST", "/quantconnect/algorithms/{project}/liquidate", "qc.liquidate", Scope.TRADE, _LIQUIDATE),
    Offer("POST", "/quantconnect/algorithms/{project}/command", "qc.command", Scope.TRADE, _COMMAND),
    Offer("GET", "/quantconnect/signals", "qc.signals", Scope.TRADE),
    Offer("POST", "/quantconnect/signals/fetch", "qc.fetch", Scope.TRADE),
    Offer("POST", "/quantconnect/signals/{id}/process", "qc.process", Scope.TRADE, live=_PROCESS),
    Offer("POST", "/quantconnect/backtest", "qc.backtest", Scope.TRADE, fixed={"analyse": False}, hidden=_FILES),
    Offer("POST", "/quantconnect/backtest/with-analysis", "qc.backtest", Scope.TRADE, fixed={"analyse": True}, hidden=_FILES),
    Offer("GET", "/quantconnect/backtests", "qc.backtests", Scope.TRADE),
    Offer("POST", "/quantconnect/backtests/compare", "qc.compare", Scope.TRADE),
    Offer("GET", "/quantconnect/backtests/{project}/{backtest}", "qc.backtest-result", Scope.TRADE, hidden=_FILES),
    Offer("DELETE", "/quantconnect/backtests/{project}/{backtest}", "qc.delete-backtest", Scope.TRADE, _DELETE),
    Offer("POST", "/quantconnect/estimate", "qc.estimate", Scope.TRADE),
    Offer("POST", "/quantconnect/sweep", "qc.sweep", Scope.TRADE, _SWEEP, fixed={"confirmed": True}),
    Offer("GET", "/quantconnect/strategy/confidence", "memory.confidence"),
    Offer("POST", "/quantconnect/export", "qc.export", hidden=_FILES),
)

ROUTERS = (router, sealing, router_of(OFFERS, "quantconnect"))
