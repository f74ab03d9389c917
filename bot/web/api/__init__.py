"""The API, one module for each subject. All of it is served under `/api/v1`."""

from __future__ import annotations

from fastapi import APIRouter

from bot.web.api import ai, control, exports, memory, monitoring, notifications, quantconnect, reports, settings, tokens, trading

ROUTERS: tuple[APIRouter, ...] = (
    *trading.ROUTERS,
    *control.ROUTERS,
    *exports.ROUTERS,
    *reports.ROUTERS,
    *quantconnect.ROUTERS,
    *memory.ROUTERS,
    *ai.ROUTERS,
    *monitoring.ROUTERS,
    *notifications.ROUTERS,
    *settings.ROUTERS,
    *tokens.ROUTERS,
)
