"""A configuration directory to spoil."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bot.settings import ConfigError, Loaded, load


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Loaded]:
    """Write the two files and load them."""

    def write_and_load(
        bot: str = "",
        risk: str = "",
        *,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Loaded:
        (tmp_path / "bot.yaml").write_text(bot)
        (tmp_path / "risk.yaml").write_text(risk)
        return load(tmp_path, environ=env or {}, overrides=overrides)

    return write_and_load


@pytest.fixture
def complaint(configure: Callable[..., Loaded], tmp_path: Path) -> Callable[..., str]:
    """The error line, with the directory written as `config`."""

    def line(*files: str, **more: object) -> str:
        with pytest.raises(ConfigError) as caught:
            configure(*files, **more)
        text = str(caught.value).replace(str(tmp_path), "config")
        assert "\n" not in text
        return text

    return line
