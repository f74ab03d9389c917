"""The API, one router for each subject. All of them are served under `/api/v1`."""

from __future__ import annotations

from fastapi import APIRouter

ROUTERS: tuple[APIRouter, ...] = ()
