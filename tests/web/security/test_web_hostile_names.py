"""The audit names who did it, and nobody can be named like the owner."""

from __future__ import annotations

import pytest

from bot.web.security.errors import AccessError
from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore
from tests.web.security.web_world import START


@pytest.mark.parametrize("name", ["owner", "Owner", "OWNER"])
async def test_no_token_is_called_like_the_owner(access: AccessStore, name: str) -> None:
    with pytest.raises(AccessError, match="audit"):
        await access.new_token(name, Scope.TRADE, START + 1_000)
