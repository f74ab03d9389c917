"""All use cases of language models."""

from __future__ import annotations

from typing import Any

from bot.services.llm import cost_cases, decide_cases, eval_cases, prompt_cases, provider_cases, question_cases
from bot.services.use_case import UseCase

USE_CASES: tuple[UseCase[Any], ...] = (
    *provider_cases.CASES,
    *cost_cases.CASES,
    *question_cases.CASES,
    *decide_cases.CASES,
    *eval_cases.CASES,
    *prompt_cases.CASES,
)
