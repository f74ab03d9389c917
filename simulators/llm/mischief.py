"""Faults of what is said, and the words of those that are a status."""

from __future__ import annotations

import re
from dataclasses import replace

from simulators.llm.faults import Fault, Mode
from simulators.llm.prompt import Dialect, Prompt, Refusal
from simulators.llm.reply import Stop, Thought
from simulators.llm.tokens import rendered

_NUMBER = re.compile(r'(?<=[:\[,])\s*-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?=\s*[,}\]])|"(?:[^"\\]|\\.)*"')
REFUSED = "I'm sorry, but I cannot help with that request."
_WORDS = {
    "400": ("Invalid request.", "invalid_request_error", None),
    "401": ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "402": ("Your credit balance is too low.", "billing_error", None),
    "403": ("Country, region, or territory not supported.", "request_forbidden", "unsupported_country_region_territory"),
    "404": ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    "413": ("Request exceeds the maximum size.", "invalid_request_error", None),
    "422": ("Unprocessable request.", "invalid_request_error", None),
    "429": ("Rate limit reached. Please try again later.", "requests", "rate_limit_exceeded"),
    "500": ("The server had an error while processing your request.", "server_error", None),
    "503": ("The engine is currently overloaded, please try again later.", "service_unavailable_error", None),
    "504": ("The request timed out.", "server_error", None),
    "529": ("Overloaded", "server_error", "overloaded"),
}


def refusal_of(fault: Fault, dialect: Dialect) -> Refusal | None:
    """The error that a fault of status answers with; None for other faults."""
    wait = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    if fault.mode is Mode.QUOTA:
        return no_credit(dialect, wait)
    if fault.mode.value not in _WORDS:
        return None
    message, kind, code = _WORDS[fault.mode.value]
    return Refusal(int(fault.mode.value), message, kind, code, headers=wait)


def no_credit(dialect: Dialect, headers: dict[str, str]) -> Refusal:
    """Nothing left to pay with, in the provider's words."""
    if dialect is Dialect.MESSAGES:
        text = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to purchase credits."
        return Refusal(402, text, "billing_error", headers=headers)
    text = "You exceeded your current quota, please check your plan and billing details."
    return Refusal(429, text, "insufficient_quota", "insufficient_quota", headers=headers)


def overloaded() -> Refusal:
    """What an error event inside a stream says."""
    message, kind, code = _WORDS["529"]
    return Refusal(529, message, kind, code)


def spoilt(thought: Thought, fault: Fault | None, prompt: Prompt) -> tuple[Thought, Stop | None]:
    """What is said under a fault, and how it stops where the fault decides that."""
    text = thought.text
    match fault.mode if fault else Mode.OK:
        case Mode.BAD_JSON:
            return Thought(f'{text[: max(1, len(text) // 2)]} ... "oops": }}'), None
        case Mode.TRUNCATED:
            return Thought(text[: len(text) // 2]), Stop.LENGTH
        case Mode.REFUSAL:
            return Thought(refusal=REFUSED), Stop.REFUSAL
        case Mode.EMPTY:
            return Thought(), Stop.DONE
        case Mode.HUGE:
            assert fault is not None
            return Thought(_huge(text, fault.size)), None
        case Mode.NAN:
            return Thought(_renumbered(text, "NaN")), None
        case Mode.ABSURD:
            return Thought(_renumbered(text, "1e308")), None
        case Mode.ECHO:
            return Thought(rendered(replace(prompt, tools=(), schema=None))), None
        case Mode.FAILED:
            return thought, Stop.FAILED
        case Mode.ERROR_EVENT if not prompt.stream:
            return thought, Stop.FAILED
    return thought, None


def _huge(text: str, size: int) -> str:
    """As long as wanted; still JSON where it was an object."""
    if text.startswith("{") and len(text) > 2:
        return f'{{"padding":"{"A" * max(0, size - len(text))}",{text[1:]}'
    return (text + " ") * (size // (len(text) + 1) + 1)


def _renumbered(text: str, number: str) -> str:
    return _NUMBER.sub(lambda found: found[0] if found[0].startswith('"') else number, text)
