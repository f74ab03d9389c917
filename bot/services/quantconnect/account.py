"""The account: are the credentials good, what is there to run on, which projects are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bot.services.quantconnect.access import client_of
from bot.services.quantconnect.shelf import Listing, shelved
from bot.services.use_case import Ground, UseCaseError
from sources.quantconnect.errors import Kind, QcError

if TYPE_CHECKING:
    from sources.quantconnect.client import Client
    from sources.quantconnect.models_account import Account, LeanVersion, Organization
    from sources.quantconnect.models_project import Node, Nodes, Project

PROJECTS = "projects"
_NAMES = ("QUANTCONNECT_USER_ID", "QUANTCONNECT_API_TOKEN")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` says how to mend it where it is not well."""

    check: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test of the access found. Figures of the account are None where they could not be asked for."""

    base_url: str
    simulated: bool
    checks: Sequence[Check]
    account: Account | None = None
    organizations: Sequence[Organization] | None = None
    nodes: Nodes | None = None
    version: LeanVersion | None = None

    @property
    def ok(self) -> bool:
        """Whether everything is well."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, object]:
        """Plain values; money is QuantConnect credit."""
        return {
            "ok": self.ok,
            "base_url": self.base_url,
            "simulated": self.simulated,
            "checks": [asdict(check) for check in self.checks],
            "credit": None if self.account is None else self.account.credit_balance,
            "organizations": None if self.organizations is None else [_organization(one) for one in self.organizations],
            "nodes": None if self.nodes is None else nodes_json(self.nodes),
            "version": None
            if self.version is None
            else {"id": self.version.id, "name": self.version.name, "created": self.version.created},
        }


async def try_access(ground: Ground) -> Tested:
    """Look at the credentials, the clock, the account and its machines, in this order; the first refusal of access ends it."""
    checks: list[Check] = []

    def told(**more: object) -> Tested:
        return Tested(ground.quantconnect.base_url, ground.simulated, tuple(checks), **more)  # type: ignore[arg-type]

    try:
        client = await client_of(ground)
    except UseCaseError as error:
        fault, _, remedy = str(error).partition(": ")
        checks.append(Check("credentials", ok=False, found=fault, remedy=remedy))
        return told()
    checks.append(Check("credentials", ok=True, found=_origin(ground)))
    try:
        await client.authenticate()
    except QcError as error:
        checks.append(_refused(error))
        return told()
    checks.append(Check("access", ok=True, found="the service knows them"))
    checks.append(_clock(client))
    return told(**await _belongings(ground, client, checks))


async def _belongings(ground: Ground, client: Client, checks: list[Check]) -> dict[str, object]:
    """Organizations, account, nodes and the newest version; what cannot be read is a check that failed."""
    wanted = ground.loaded.settings.quantconnect.organization or None
    found: dict[str, object] = {}
    try:
        organizations = found["organizations"] = await client.organizations()
        checks.append(_chosen(wanted, organizations))
        account = found["account"] = await client.account(wanted)
        credit = "unknown" if account.credit_balance is None else f"{account.credit_balance:,.2f} QCC"
        checks.append(Check("account", ok=True, found=f"credit {credit}"))
        nodes = found["nodes"] = await client.projects.organization_nodes(wanted)
        checks.append(_machines(nodes))
        versions = await client.versions()
        newest = found["version"] = max(versions, key=lambda version: version.id, default=None)
        told = "none is listed" if newest is None else f"{newest.name or 'newest'}, {newest.id}"
        checks.append(Check("engine", ok=True, found=told))
    except QcError as error:
        checks.append(_failed(error, ("organization", "account", "nodes", "engine")[len(found)]))
    return found


def _origin(ground: Ground) -> str:
    """Where the credentials come from; never what they are."""
    if ground.simulated:
        return "those of the embedded simulator"
    origins = dict.fromkeys(found.origin for name in _NAMES if (found := ground.secrets.get(name)) is not None)
    return f"from {' and '.join(origins)}" if origins else "given"


def _refused(error: QcError) -> Check:
    """What to do about a refusal of access, as exactly as the service's words allow."""
    if error.kind is not Kind.AUTHENTICATION:
        return _failed(error, "access")
    lowered = error.reason.lower()
    if "clock" in lowered:
        remedy = "set this machine's clock, by NTP: the service refuses times that are far from its own"
    elif lowered.startswith("userid not valid"):
        remedy = "QUANTCONNECT_USER_ID names no user: copy it from the account page of QuantConnect"
    elif lowered.startswith("hash doesn't match"):
        remedy = "QUANTCONNECT_API_TOKEN is not the token of this user, or has been renewed: copy it again"
    else:
        remedy = error.remedy
    return Check("access", ok=False, found=error.reason, remedy=remedy)


def _failed(error: QcError, check: str) -> Check:
    return Check(check, ok=False, found=f"{error.kind}: {error.reason}", remedy=error.remedy)


def _clock(client: Client) -> Check:
    """Only a clock that is too far off to be let in is corrected, and thereby noticed."""
    offset = client.stats.clock_offset_s
    if not offset:
        return Check("clock", ok=True, found="the service takes its time")
    side = "behind" if offset > 0 else "ahead"
    return Check(
        "clock", ok=False, found=f"{abs(offset):.0f} s {side}; corrected for now", remedy="set this machine's clock, by NTP"
    )


def _chosen(wanted: str | None, organizations: Sequence[Organization]) -> Check:
    """The organization that is asked for, or the preferred one."""
    chosen = next((one for one in organizations if (one.id == wanted if wanted else one.preferred)), None)
    if chosen is not None:
        return Check("organization", ok=True, found=f"{chosen.name or chosen.id} ({chosen.type or 'no tier named'})")
    if not wanted:
        return Check("organization", ok=True, found=f"{len(organizations)}, none preferred")
    known = ", ".join(one.id for one in organizations) or "none"
    return Check("organization", ok=False, found=f"the user has {known}", remedy="correct quantconnect.organization in bot.yaml")


def _machines(nodes: Nodes) -> Check:
    parts = {"backtest": nodes.backtest, "live": nodes.live}
    told = [f"{len(found)} {name} ({sum(not node.busy for node in found)} free)" for name, found in parts.items()]
    return Check("nodes", ok=True, found=", ".join(told))


async def nodes(ground: Ground) -> Nodes:
    """The machines of the organization, as they are now."""
    client = await client_of(ground)
    return await client.projects.organization_nodes(ground.loaded.settings.quantconnect.organization or None)


async def projects(ground: Ground, *, fresh: bool = False) -> Listing[Project]:
    """The projects, the last changed first; kept for `quantconnect.cache`."""

    async def read() -> Sequence[Project]:
        client = await client_of(ground)
        found = await client.projects.list(organization_id=ground.loaded.settings.quantconnect.organization or None)
        return sorted(found, key=lambda project: -(project.modified or 0))

    return await shelved(ground, PROJECTS, read, fresh=fresh)


def project_json(project: Project) -> dict[str, object]:
    """A project in plain values; times are ms UTC."""
    return {
        "project": project.project_id,
        "name": project.name,
        "language": project.language,
        "created": project.created,
        "modified": project.modified,
        "parameters": {one.key: one.value for one in project.parameters},
        "last_live_deployment": project.last_live_deployment or None,
        "organization": project.organization_id,
        "description": project.description,
    }


def nodes_json(found: Nodes) -> dict[str, list[dict[str, object]]]:
    """Machines by what they are for, in plain values; `speed` GHz, `ram` GB, `price` US dollars a month."""
    return {kind: [_node(node) for node in getattr(found, kind)] for kind in ("backtest", "research", "live")}


def _node(node: Node) -> dict[str, object]:
    return {
        "id": node.id,
        "name": node.name,
        "sku": node.sku,
        "cpu": node.cpu,
        "ram": node.ram,
        "speed": node.speed,
        "busy": node.busy,
        "active": node.active,
        "project": node.project_id,
        "project_name": node.project_name,
        "price": node.price.monthly,
    }


def _organization(one: Organization) -> Mapping[str, object]:
    return {"id": one.id, "name": one.name, "type": one.type, "preferred": one.preferred}
