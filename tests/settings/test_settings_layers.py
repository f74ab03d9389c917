"""Who wins, what is merged, and where every value came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from bot.settings import (
    Loaded,
    Origin,
    OriginKind,
    RunOptions,
    Settings,
    config_hash,
    effective,
    load,
    public,
    schema,
)
from bot.settings.kinds import duration_text, parse_duration, redact_url
from bot.settings.layers import file_layer, merge
from bot.settings.template import bot_yaml, risk_yaml

Configure = Callable[..., Loaded]


def _origin(loaded: Loaded, key: str) -> Origin:
    return next(item.origin for item in effective(loaded) if item.key == key)


def test_command_line_beats_environment_beats_local_beats_yaml_beats_default(configure: Configure, tmp_path: Path) -> None:
    key, env = "risk.max_drawdown", {"ARBITER_RISK__MAX_DRAWDOWN": "0.4"}

    def drawdown(loaded: Loaded) -> float | None:
        return loaded.settings.risk.max_drawdown

    assert drawdown(configure()) == 0.2
    assert drawdown(configure(risk="max_drawdown: 0.3")) == 0.3
    (tmp_path / "risk.local.yaml").write_text("max_drawdown: 0.35")
    assert drawdown(load(tmp_path, environ={})) == 0.35
    assert drawdown(load(tmp_path, environ=env)) == 0.4
    assert drawdown(load(tmp_path, environ=env, overrides={key: 0.5})) == 0.5


def test_layers_are_merged_at_every_depth(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "risk.local.yaml").write_text("loss_streak:\n  losses: 9\nmax_exposure: 0.5\n")
    loaded = configure(risk="max_position: 0.1\nmax_exposure: 0.2\nloss_streak:\n  losses: 3\n  cool_down: 1h\n")
    risk = loaded.settings.risk
    assert (risk.max_position, risk.max_exposure) == (0.1, 0.5)
    assert risk.loss_streak is not None
    assert (risk.loss_streak.losses, risk.loss_streak.cool_down) == (9, 3_600_000)


def test_null_switches_a_limit_off(configure: Configure) -> None:
    loaded = configure(risk="max_drawdown: null\n", env={"ARBITER_RISK__LOSS_STREAK": "null"})
    assert loaded.settings.risk.max_drawdown is None
    assert loaded.settings.risk.loss_streak is None


def test_every_value_tells_its_file_and_line_its_variable_or_the_command_line(configure: Configure, tmp_path: Path) -> None:
    loaded = configure(
        "bot:\n  name: one\n",
        "max_drawdown: 0.3\n",
        env={"ARBITER_EXCHANGE__SYMBOLS": "eth/usdt, BTC/USDT"},
        overrides={"web.enabled": False},
    )
    assert _origin(loaded, "bot.name") == Origin(OriginKind.FILE, f"{tmp_path / 'bot.yaml'}:2")
    assert _origin(loaded, "risk.max_drawdown") == Origin(OriginKind.FILE, f"{tmp_path / 'risk.yaml'}:1")
    assert _origin(loaded, "exchange.symbols") == Origin(OriginKind.ENVIRONMENT, "ARBITER_EXCHANGE__SYMBOLS")
    assert _origin(loaded, "web.enabled").kind is OriginKind.COMMAND_LINE
    assert _origin(loaded, "web.port").kind is OriginKind.DEFAULT
    assert loaded.settings.exchange.symbols == ("ETH/USDT", "BTC/USDT")


def test_a_built_in_sizing_needs_only_what_differs(configure: Configure) -> None:
    loaded = configure(
        "desk:\n  sizing: mine\n  sizings:\n    kelly: {cap: 0.1}\n    mine: {policy: fixed-fraction, fraction: 0.3}\n",
        env={"ARBITER_DESK__SIZINGS__FIXED_FRACTION__FRACTION": "0.07"},
    )
    sizings = public(loaded.settings)["desk"]["sizings"]  # type: ignore[index]
    assert sizings["kelly"]["cap"] == 0.1
    assert sizings["kelly"]["share"] == 0.5
    assert sizings["mine"]["fraction"] == 0.3
    assert sizings["fixed-fraction"]["fraction"] == 0.07
    assert "volatility-target" in sizings


def test_empty_sections_and_empty_variables_change_nothing(configure: Configure) -> None:
    assert configure("bot:\nexchange:\n", env={"ARBITER_BOT__NAME": ""}).settings == Settings()


def test_secrets_and_test_variables_are_not_taken_for_settings(configure: Configure) -> None:
    env = {"ARBITER_SECRET_X": "1", "ARBITER_MASTER_KEY": "2", "ARBITER_KEY_FILE": "3", "ARBITER_TEST_REDIS_URL": "4"}
    assert configure(env=env).settings == Settings()


def test_without_a_directory_the_defaults_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(environ={})
    assert loaded.directory is None
    assert loaded.settings == Settings()


def test_settings_never_read_the_environment_behind_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITER_BOT__NAME", "sneaky")
    assert Settings().bot.name == "arbiter"


def test_every_model_is_strict_and_frozen() -> None:
    def models(model: type[BaseModel]) -> list[type[BaseModel]]:
        found = [model]
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += models(field.annotation)
        return found

    for model in models(Settings):
        assert model.model_config["extra"] == "forbid", model
        assert model.model_config["frozen"], model
        assert model.model_config["allow_inf_nan"] is False, model


def test_the_hash_is_stable_and_ignores_passwords(configure: Configure) -> None:
    one = config_hash(configure("redis: {url: 'redis://u:first@h/0'}\n").settings)
    assert one == config_hash(configure("redis: {url: 'redis://u:second@h/0'}\n").settings)
    assert one != config_hash(configure("redis: {url: 'redis://u:first@h/1'}\n").settings)
    assert len(one) == 64


def test_nothing_that_is_shown_holds_a_password(configure: Configure) -> None:
    loaded = configure("journal: {url: 'postgresql://arbiter:CANARY1@db/x'}\nredis: {url: 'redis://:CANARY2@h/0'}\n")
    shown = json.dumps(public(loaded.settings)) + str(effective(loaded))
    assert "CANARY" not in shown
    assert loaded.settings.journal.url == "postgresql://arbiter:CANARY1@db/x"


def test_the_schema_accepts_the_defaults_and_refuses_unknown_keys() -> None:
    validator = Draft202012Validator(dict(schema()))
    validator.check_schema(schema())
    shown = public(Settings())
    assert isinstance(shown["paper"], dict)
    validator.validate({**shown, "risk": {"stale_after": "30s", "max_drawdown": None}})
    assert not validator.is_valid({"risk": {"max_drawdon": 1}})
    assert not validator.is_valid({"risk": {"max_drawdown": -1}})


def test_the_files_of_config_init_are_the_defaults_and_those_of_the_repository(configure: Configure) -> None:
    assert configure(bot_yaml(), risk_yaml()).settings == Settings()
    assert Path("config/bot.yaml").read_text() == bot_yaml()
    assert Path("config/risk.yaml").read_text() == risk_yaml()


def test_every_risk_limit_is_written_with_its_unit() -> None:
    for line in risk_yaml().splitlines():
        if line and not line.startswith(("#", "loss_streak", "allowed_symbols", "  losses")):
            assert any(unit in line for unit in ("(fraction", "(duration)", "(count)", "(accounting currency)")), line


def test_run_options_become_overrides(configure: Configure, tmp_path: Path) -> None:
    options = RunOptions(symbols=("SOL/USDT",), redis=False, web=False, data_dir=tmp_path, exchange="kraken")
    settings = configure(overrides=options.overrides()).settings
    assert settings.exchange.symbols == ("SOL/USDT",)
    assert (settings.redis.url, settings.web.enabled) == ("off", False)
    assert settings.database_url == f"sqlite:///{tmp_path / 'arbiter.db'}"
    assert RunOptions().overrides() == {}


def test_money_keeps_every_digit(configure: Configure) -> None:
    assert configure("paper: {starting_balance: '10000.10'}\n").settings.paper.starting_balance == Decimal("10000.10")


@given(st.integers(min_value=0, max_value=10**13))
def test_a_duration_written_is_the_duration_read(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds)) == milliseconds


_TREES = st.recursive(st.integers(), lambda below: st.dictionaries(st.sampled_from("abc"), below), max_leaves=8)
_MAPPINGS = st.dictionaries(st.sampled_from("abc"), _TREES)


@given(_MAPPINGS, _MAPPINGS, _MAPPINGS)
def test_merging_keeps_the_upper_layer_and_is_idempotent(
    one: dict[str, object], two: dict[str, object], three: dict[str, object]
) -> None:
    assert merge(one, {}) == one
    assert merge({}, two) == two
    assert merge(two, two) == two
    once = merge(merge(one, two), three)
    assert merge(once, three) == once


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://u:p@h/0", "redis://u:***@h/0"),
        ("redis://:p@h/0", "redis://:***@h/0"),
        ("plain text", "plain text"),
        ("http://[bad:p@h", "http://***@h"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_a_file_is_read_as_it_stands_and_what_a_reader_does_with_it_is_the_readers_own(tmp_path: Path) -> None:
    file = tmp_path / "risk.yaml"
    file.write_text("max_drawdown: 0.3\ncaps: {one: 1}\n")
    file_layer(file).values["caps"]["one"] = 99  # type: ignore[index]
    assert file_layer(file).values == {"max_drawdown": 0.3, "caps": {"one": 1}}
    under = file_layer(file, "risk")
    assert under.values == {"risk": {"max_drawdown": 0.3, "caps": {"one": 1}}}
    assert under.origins["risk", "caps", "one"].where == f"{file}:2"
    file.write_text("# moved\nmax_drawdown: 0.3\ncaps: {one: 2}\n")
    assert file_layer(file).values == {"max_drawdown": 0.3, "caps": {"one": 2}}
    assert file_layer(file).origins["caps", "one"].where == f"{file}:3"
