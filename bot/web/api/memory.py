"""What was learnt from backtests and closed trades: by symbol and strategy, with how far it is believed."""

from __future__ import annotations

from bot.web.api.offers import Offer, router_of
from bot.web.security.principal import Scope

OFFERS = (
    Offer("GET", "/memory/subjects", "memory.subjects"),
    Offer("GET", "/memory/lessons", "memory.lessons"),
    Offer("GET", "/memory/confidence", "memory.confidence"),
    Offer("GET", "/memory/parameters", "memory.parameters"),
    Offer("GET", "/memory/history", "memory.history"),
    Offer("GET", "/memory/recommendations", "memory.recommendations"),
    Offer("POST", "/memory/learn", "memory.learn", Scope.ADMIN),
)

ROUTERS = (router_of(OFFERS, "memory"),)
