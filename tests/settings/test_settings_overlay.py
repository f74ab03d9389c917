"""The overlay: where it stands among the layers, what it may not say, and that what is written is what is read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings import ConfigError, Loaded, OriginKind, effective, load, reloaded
from bot.settings.overlay import Overlay, draft_overlay, overlay_path, read_overlay, refused, replace_overlay

KEY = "risk.max_drawdown"


def _loaded(home: Path, environ: dict[str, str] | None = None, overrides: dict[str, object] | None = None) -> Loaded:
    (home / "bot.yaml").write_text(f"bot: {{data_dir: {home / 'data'}}}\n")
    (home / "risk.yaml").write_text("max_drawdown: 0.3\nloss_streak: {losses: 3}\n")
    return load(home, environ=environ or {}, overrides=overrides or {})


def _write(home: Path, overlay: Overlay) -> None:
    (home / "data").mkdir(exist_ok=True)
    replace_overlay(home / "data", draft_overlay(home / "data", overlay))


def test_the_overlay_beats_the_files_and_yields_to_environment_and_command_line(tmp_path: Path) -> None:
    _write(tmp_path, Overlay({KEY: 0.25}))
    assert _loaded(tmp_path).settings.risk.max_drawdown == 0.25
    environ = {"ARBITER_RISK__MAX_DRAWDOWN": "0.4"}
    assert _loaded(tmp_path, environ).settings.risk.max_drawdown == 0.4
    assert _loaded(tmp_path, environ, {KEY: 0.5}).settings.risk.max_drawdown == 0.5


def test_the_origin_of_what_the_overlay_says_is_the_overlay(tmp_path: Path) -> None:
    _write(tmp_path, Overlay({"risk.loss_streak": {"losses": 9}}))
    origins = {one.key: one.origin for one in effective(_loaded(tmp_path))}
    found = origins["risk.loss_streak.losses"]
    assert (found.kind, str(found).partition(" ")[0]) == (OriginKind.OVERLAY, "overlay")
    assert str(overlay_path(tmp_path / "data")) in str(found)
    assert origins[KEY].kind is OriginKind.FILE


def test_an_overlay_that_is_wrong_stops_the_start_and_names_itself(tmp_path: Path) -> None:
    _write(tmp_path, Overlay({KEY: 7}))
    with pytest.raises(ConfigError, match=r"overlay .*overlay\.yaml:\d+: risk\.max_drawdown = 7: must be 1 or less; "):
        _loaded(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("live.confirm", "I-understand"),
        ("live.sisters", []),
        ("bot.data_dir", "/"),
        ("bot.log_file", "/tmp/x"),
        ("journal.url", None),
        ("web.host", "0.0.0.0"),
        ("metrics.host", "0.0.0.0"),
        ("paper.starting_balance", 5),
        ("paper.currency", "EUR"),
        ("exchange.urls", {}),
        ("exchange.urls.ws", "wss://elsewhere"),
        ("exchange.options", {"a": {"b": 1}}),
        ("llm.providers", {"openai": {"base_url": "http://elsewhere"}}),
        ("llm.providers.openai", {"dialect": "chat", "base_url": "http://elsewhere"}),
        ("redis.url", "redis://h/0"),
        ("news.feeds.one.url", "https://me:secret@host/feed"),
        ("news.feeds", [{"id": "one", "url": "https://me:secret@host/feed"}]),
    ],
)
def test_what_decides_on_money_and_reach_is_refused_here_and_in_the_file(tmp_path: Path, key: str, value: object) -> None:
    assert refused(key, value) is not None
    _write(tmp_path, Overlay({key: value}))
    with pytest.raises(ConfigError, match="overlay"):
        read_overlay(tmp_path / "data")


def test_a_harmless_setting_is_not_refused() -> None:
    assert refused("risk.max_position", 0.2) is None
    assert refused("llm.budget.per_day", "5") is None


def test_a_section_is_no_setting(tmp_path: Path) -> None:
    _write(tmp_path, Overlay({"risk": {"max_drawdown": 0.1}}))
    with pytest.raises(ConfigError, match="is a section"):
        read_overlay(tmp_path / "data")


@pytest.mark.parametrize("text", ["- 1\n", "settings: 3\n", "else: {}\n", "sources: {a: {paused: true}}\n", "sources: {a: 1}\n"])
def test_an_overlay_of_another_shape_is_an_error_not_a_loss(tmp_path: Path, text: str) -> None:
    overlay_path(tmp_path).write_text(text)
    with pytest.raises(ConfigError, match=r"overlay\.yaml"):
        read_overlay(tmp_path)


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    _write(tmp_path, Overlay({KEY: 0.1}))
    assert stat.S_IMODE(overlay_path(tmp_path / "data").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["overlay.yaml"]


def test_setting_a_section_forgets_what_was_said_inside_it() -> None:
    overlay = Overlay({"risk.loss_streak.losses": 9, "risk.loss_streaks": 1}).with_settings({"risk.loss_streak": None})
    assert overlay.settings == {"risk.loss_streak": None, "risk.loss_streaks": 1}
    assert overlay.without(("risk.loss_streak",)).settings == {"risk.loss_streaks": 1}


def test_reloading_keeps_the_options_and_sees_the_files_as_they_are_now(tmp_path: Path) -> None:
    loaded = _loaded(tmp_path, overrides={"risk.max_position": 0.15})
    (tmp_path / "risk.yaml").write_text("max_drawdown: 0.12\n")
    later = reloaded(loaded, Overlay({"risk.max_position": 0.9, "risk.max_exposure": 0.5})).settings.risk
    assert (later.max_position, later.max_exposure, later.max_drawdown) == (0.15, 0.5, 0.12)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner))


@given(
    st.dictionaries(st.from_regex(r"\Arisk(\.[a-z_]{1,8}){1,3}\Z"), _VALUES, max_size=4),
    st.dictionaries(st.text(max_size=9), st.booleans(), max_size=3),
)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, object], sources: dict[str, bool]
) -> None:
    home = tmp_path_factory.mktemp("overlay")
    overlay = Overlay({key: value for key, value in settings.items() if refused(key, value) is None}, sources)
    replace_overlay(home, draft_overlay(home, overlay))
    assert read_overlay(home) == overlay
