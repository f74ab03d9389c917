"""The API, one module for each subject. All of it is served under `/api/v1`."""

from __future__ import annotations

from fastapi import APIRouter

from bot.web.api import control, exports, reports, trading

ROUTERS: tuple[APIRouter, ...] = (*trading.ROUTERS, *control.ROUTERS, *exports.ROUTERS, *reports.ROUTERS)
