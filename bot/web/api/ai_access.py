"""Who answers: providers with masked keys, models, prices, and how well each has done. Keys come in and never go out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, SecretStr

from bot.secrets import SecretError
from bot.web.api.ai_common import Answer, ProviderName, Wish
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import Offer, router_of
from bot.web.problems import Problem, not_found
from bot.web.room import ControlRoom, Room
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import Admin, Reader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Principal, Scope

TAG = "ai: language models"
router = APIRouter(tags=[TAG], route_class=TaggedRoute)
# Without records of requests: a key must not even be remembered as the hash of a request.
sealing = APIRouter(tags=[TAG])


class Key(Wish):
    """A provider's key, which no answer repeats."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    value: SecretStr = Field(min_length=1, max_length=4_096, description="the key; write-only")


@router.get("/ai/llm/config")
async def config(room: Room, principal: Reader) -> Answer:
    """Providers with the masks of their keys, who is asked for what, and what may be spent."""
    del principal
    return await access_shown(room)


@sealing.put("/ai/llm/providers/{provider}/key")
async def set_key(room: Room, principal: Admin, request: Request, provider: ProviderName, key: Key) -> Answer:
    """Seal a provider's key in the encrypted file; it is used from the next start on."""
    args = {"name": _secret_of(room, provider), "value": key.value.get_secret_value(), "author": principal.actor[:60]}
    done = await room.ask("config.secret-set", args, principal, nonce=nonce_of(request))
    return _kept(done, provider, args["name"])


@router.delete("/ai/llm/providers/{provider}/key")
async def delete_key(room: Room, principal: Admin, request: Request, provider: ProviderName) -> Answer:
    """Forget a provider's key."""
    args = {"name": _secret_of(room, provider), "author": principal.actor[:60]}
    text = f"Forget the key {args['name']} of {provider}: from the next start on {provider} is not asked any more."
    await require_confirmation(request, principal, "config.secret-delete", args, text)
    done = await room.ask("config.secret-delete", args, principal, nonce=nonce_of(request))
    return _kept(done, provider, args["name"])


@router.get("/ai/monitoring/providers")
async def providers(room: Room, principal: Reader) -> Answer:
    """How each provider does: calls, answers, latency, trouble and cost of its models."""
    return {"providers": await performance(room, principal)}


async def access_shown(room: ControlRoom) -> Answer:
    """The configuration of language models, with masks in the place of keys."""
    settings, masks = room.loaded.settings.llm, await _masks(room)
    shown = [
        {
            "provider": name,
            "dialect": one.dialect.value,
            "base_url": one.base_url,
            "secret": one.key,
            "asked": name in settings.asked,
            "key": masks.get(one.key or ""),
        }
        for name, one in settings.providers.items()
    ]
    return {
        "providers": shown,
        "roles": {
            role.value: [{"provider": one.provider, "model": one.model, "weight": one.weight} for one in candidates]
            for role, candidates in settings.roles.items()
        },
        "budget": settings.budget.model_dump(mode="json"),
        "simulated": (await room.world()).simulated,
    }


async def performance(room: ControlRoom, principal: Principal) -> list[Answer]:
    """The models that some role asks, by provider, each once; `Problem` 503 while no bot runs."""
    told = await room.ask("llm.models", {}, principal)
    by_provider: dict[str, dict[str, Answer]] = defaultdict(dict)
    for role, candidates in told["roles"].items():
        for one in candidates:
            row = by_provider[one["provider"]].setdefault(one["model"], {**_standing(one), "roles": []})
            row["roles"].append(role)
    return [_together(name, list(models.values())) for name, models in by_provider.items()]


def _standing(one: Mapping[str, Any]) -> Answer:
    names = ("model", "available", "disabled", "breaker", "breaker_until", "price", "since_start", "ledger", "effort")
    return {name: one[name] for name in names}


def _together(name: str, models: Sequence[Answer]) -> Answer:
    since = [one["since_start"] for one in models]
    return {
        "provider": name,
        "available": any(one["available"] for one in models),
        "calls": sum(one["calls"] for one in since),
        "answers": sum(one["answers"] for one in since),
        "models": list(models),
    }


async def _masks(room: ControlRoom) -> Mapping[str, Answer]:
    """What may be shown of each secret that is set; the encrypted file is read anew, the bot may have written to it."""
    try:
        rows = await asyncio.to_thread(room.secrets.anew().listed)
    except (SecretError, OSError) as error:
        raise Problem(503, "The encrypted file cannot be read", str(error)) from error
    return {row.name: {"masked": row.masked, "origin": row.origin, "updated": row.updated} for row in rows}


def _secret_of(room: ControlRoom, provider: str) -> str:
    one = room.loaded.settings.llm.providers.get(provider)
    if one is None:
        known = ", ".join(room.loaded.settings.llm.providers)
        raise not_found(f"no provider is called {provider!r}; there are {known}")
    if one.key is None:
        raise Problem(409, "It takes no key", f"llm.providers.{provider} names no secret: give it `key` in the configuration")
    return one.key


def _kept(done: Mapping[str, Any], provider: str, name: str) -> Answer:
    row = next((one for one in done["secrets"] if one["name"] == name), None)
    masked = None if row is None else row["masked"]
    return {"provider": provider, "secret": name, "masked": masked, "acts": done["acts"], "told": done["told"]}


OFFERS = (
    Offer("GET", "/ai/llm/models", "llm.models"),
    Offer("GET", "/ai/llm/prices", "llm.prices"),
    Offer("GET", "/ai/llm/status", "llm.status"),
    Offer("POST", "/ai/llm/test", "llm.test", Scope.TRADE, fixed={"call": False}),
    Offer(
        "POST",
        "/ai/llm/test/models",
        "llm.test",
        Scope.TRADE,
        confirm="Ask every model that some role asks one small question. It is paid for: a fraction of a cent each.",
        fixed={"call": True},
    ),
    Offer(
        "POST",
        "/ai/llm/eval",
        "llm.eval",
        Scope.TRADE,
        confirm="Ask {models} what the run {run} asked. It costs up to {spend} USD; without `spend` it is only estimated.",
    ),
)
ROUTERS = (router, sealing, router_of(OFFERS, TAG))
