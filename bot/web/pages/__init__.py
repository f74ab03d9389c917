"""The pages and their fragments, one module for each page."""

from __future__ import annotations

from fastapi import APIRouter

from bot.web.pages import (
    ai,
    ai_prompts,
    analysis,
    chat,
    decisions,
    frame,
    journal,
    markets,
    monitoring,
    overview,
    quantconnect,
    risk,
    settings,
    sources,
)

ROUTERS: tuple[APIRouter, ...] = (
    frame.router,
    overview.router,
    decisions.router,
    journal.router,
    markets.router,
    sources.router,
    risk.router,
    monitoring.router,
    *quantconnect.ROUTERS,
    settings.router,
    ai.router,
    ai_prompts.router,
    chat.router,
    analysis.router,
)
