"""Everything under `/ai`: language models, prompts, signals, costs, learning, chat, analysis and ideas."""

from __future__ import annotations

from fastapi import APIRouter

from bot.web.api import ai_access, ai_analysis, ai_chat, ai_prompts, ai_signals

ROUTERS: tuple[APIRouter, ...] = (
    *ai_access.ROUTERS,
    *ai_prompts.ROUTERS,
    *ai_signals.ROUTERS,
    *ai_chat.ROUTERS,
    *ai_analysis.ROUTERS,
)
