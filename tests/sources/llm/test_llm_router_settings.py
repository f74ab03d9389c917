"""From YAML and keys to a router, and what a bot without LLMs is spared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from sources.llm.asking import LlmError, Role, Trouble
from sources.llm.checking import check_key, check_keys
from sources.llm.models import Dialect, Effort, Structured
from sources.llm.opening import candidates_of, opened
from sources.llm.prices import shipped
from sources.llm.purse import FreePurse
from sources.llm.settings import AccessSettings
from tests.sources.llm.llm_asks import KEY, NOW, an_ask
from tests.sources.llm.llm_service import RESPONSE, says, serving

TABLE = shipped()


def secrets(**values: str) -> Callable[[str], str | None]:
    """Secrets by name."""
    return values.get


def decision(*candidates: dict[str, Any], **rest: Any) -> AccessSettings:
    """Settings with such candidates for decisions."""
    return AccessSettings.model_validate({"roles": {"decision": list(candidates)}, **rest})


def test_the_four_providers_are_known_and_each_may_be_replaced() -> None:
    settings = AccessSettings.model_validate(
        {"providers": {"local": {"dialect": "chat", "base_url": "http://localhost:11434/v1"}}}
    )
    keys = {name: one.key for name, one in settings.providers.items()}
    assert keys == {
        "openai": "OPENAI_API_KEY",
        "anthropic": "ANTHROPIC_API_KEY",
        "gemini": "GEMINI_API_KEY",
        "xai": "XAI_API_KEY",
        "local": None,
    }
    assert settings.providers["xai"].dialect is Dialect.RESPONSES
    own = {"openai": {"dialect": "chat", "base_url": "https://proxy.example/v1", "key": "MY_KEY"}}
    assert AccessSettings.model_validate({"providers": own}).providers["openai"].key == "MY_KEY"


def test_candidates_are_ranked_by_their_place_and_take_what_the_table_and_the_configuration_say() -> None:
    settings = decision(
        {"provider": "openai", "model": "gpt-6-luna", "effort": "low"},
        {"provider": "xai", "model": "grok-99", "rank": 0, "weight": 2, "price": {"input": 1.5, "output": 3}},
        {"provider": "gemini", "model": "unheard-of", "structured": "words", "takes_effort": False, "max_output": 500},
    )
    first, second, third = candidates_of(settings, Role.DECISION, TABLE)
    assert (first.rank, first.effort, first.weight) == (0, Effort.LOW, None)
    assert first.model.price == TABLE.model("openai", "gpt-6-luna").price
    assert (second.rank, second.weight) == (0, 2.0)
    assert second.model.price is not None
    assert second.model.price.rate.input == Decimal("1.5")
    assert (third.rank, third.model.price) == (2, None)
    capabilities = third.model.capabilities
    assert (capabilities.structured, capabilities.effort, capabilities.output_for(4096)) == (Structured.WORDS, False, 500)
    assert candidates_of(settings, Role.CHAT, TABLE) == (first, second, third)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"roles": {"decision": [{"provider": "nobody", "model": "m"}]}}, "nobody"),
        ({"roles": {"decision": [{"provider": "xai", "model": "m"}] * 2}}, "twice"),
        ({"roles": {"poetry": []}}, "poetry"),
        ({"roles": {"decision": [{"provider": "xai", "model": "m", "price": {"input": -1, "output": 1}}]}}, "greater than"),
        ({"roles": {"decision": [{"provider": "xai", "model": "m", "price": {"input": 1}}]}}, "output"),
        ({"roles": {"decision": [{"provider": "xai", "model": "m", "weight": 0}]}}, "weight"),
        ({"roles": {"decision": [{"provider": "xai", "model": "a b"}]}}, "model"),
        ({"providers": {"x": {"dialect": "chat", "base_url": "http://far.example/v1", "key": "K_1"}}}, "https only"),
        ({"providers": {"x": {"dialect": "chat", "base_url": "https://user:pass@far.example/v1"}}}, "nothing else"),
        ({"providers": {"x": {"dialect": "chat", "base_url": "file:///etc/passwd"}}}, "http"),
        ({"providers": {"x": {"dialect": "chat", "base_url": "https://far.example", "key": "sk-abc"}}}, "key"),
        ({"providers": {"x": {"dialect": "telepathy", "base_url": "https://far.example"}}}, "telepathy"),
        ({"deadlines": {"decision": {"total": "5s", "first": "6s"}}}, "fit in"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AccessSettings.model_validate(settings)


def test_a_password_in_a_url_is_not_repeated_by_the_message() -> None:
    with pytest.raises(ValidationError) as caught:
        AccessSettings.model_validate({"providers": {"x": {"dialect": "chat", "base_url": "https://user:pass1@far.example/v1"}}})
    assert all("pass1" not in error["msg"] for error in caught.value.errors())


async def test_a_provider_without_a_key_is_disabled_and_says_which_one_it_lacks() -> None:
    settings = decision({"provider": "openai", "model": "gpt-6-luna"})
    async with opened(settings, secrets(), lambda: NOW, table=TABLE) as access:
        assert "OPENAI_API_KEY" in access.disabled["openai"]
        with pytest.raises(LlmError, match="OPENAI_API_KEY") as caught:
            await access.router.ask(an_ask(), FreePurse())
        assert caught.value.trouble is Trouble.DISABLED
        assert "OPENAI_API_KEY" in access.router.view().roles[Role.DECISION][0].disabled


async def test_settings_and_a_key_make_a_router_that_answers_and_a_key_that_is_checked() -> None:
    async with serving(says(RESPONSE), says({"data": [{"id": "gpt-6-luna"}]}), says({}, 401)) as service:
        mine = {"dialect": "responses", "base_url": f"{service.root}/v1", "key": "MY_KEY", "timeout": "5s"}
        settings = decision({"provider": "mine", "model": "gpt-6-luna"}, providers={"mine": mine})
        with structlog.testing.capture_logs() as logs:
            async with opened(settings, secrets(MY_KEY=KEY), lambda: NOW, table=TABLE) as access:
                await access.warm()
                purse = FreePurse()
                reply = await access.router.ask(an_ask(), purse)
                assert (reply.provider, reply.model, reply.parsed) == ("mine", "gpt-6-luna", {"side": "buy", "size": 0.5})
                assert purse.spent == reply.cost
                good = await check_key(access.providers["mine"])
                assert (good.good, good.models) == (True, ("gpt-6-luna",))
                [bad] = await check_keys([access.providers["mine"]])
                assert (bad.good, bad.trouble) == (False, Trouble.AUTHENTICATION)
                assert KEY not in f"{access}{good}{bad}{reply}"
    assert KEY not in str(logs)


def test_no_sdk_is_imported_before_somebody_is_asked() -> None:
    program = """
import sys, asyncio
import bot.cli, sources, sources.llm, sources.llm.opening, sources.llm.settings, sources.llm.checking, sources.llm.router
from sources.llm.settings import AccessSettings
async def main():
    settings = AccessSettings.model_validate({"roles": {"decision": [{"provider": "openai", "model": "gpt-6-luna"}]}})
    async with sources.llm.opening.opened(settings, lambda name: "key", lambda: 0) as access:
        assert access.router.candidates("decision")
asyncio.run(main())
found = {"openai", "anthropic", "httpx2", "httpx"} & set(sys.modules)
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
