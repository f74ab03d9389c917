"""Whatever is wrong with the configuration is one line: file, key, value, fault, remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.settings import ConfigError, Loaded, load

Complaint = Callable[..., str]
Configure = Callable[..., Loaded]


@pytest.mark.parametrize(
    ("bot", "line"),
    [
        ("botx:\n  a: 1\n", "config/bot.yaml:1: botx = {...}: unknown key; did you mean 'bot'?"),
        ("bot:\n  nam: x\n", "config/bot.yaml:2: bot.nam = x: unknown key; did you mean 'name'?"),
        (
            "desk:\n  settle_ms:\n    lmm: 5\n",
            "config/bot.yaml:3: desk.settle_ms.lmm = 5: unknown key; did you mean 'llm'?",
        ),
        (
            "desk:\n  sizings:\n    kelly:\n      capp: 1\n",
            "config/bot.yaml:4: desk.sizings.kelly.capp = 1: unknown key; did you mean 'cap'?",
        ),
        ("desk: {max_drawdown: 1}\n", "config/bot.yaml:1: desk.max_drawdown = 1: unknown key; did you mean 'risk.max_drawdown'?"),
    ],
)
def test_an_unknown_key_at_any_depth_is_named_with_the_nearest_valid_one(complaint: Complaint, bot: str, line: str) -> None:
    assert complaint(bot) == line


@pytest.mark.parametrize(
    ("risk", "line"),
    [
        (
            "max_drawdown: -0.1\n",
            "config/risk.yaml:1: risk.max_drawdown = -0.1: must be above 0; "
            "write for example 0.2 (the default), or null to switch it off",
        ),
        (
            "max_order_notional: -5\n",
            "config/risk.yaml:1: risk.max_order_notional = -5: must be above 0; write for example 5, or null to switch it off",
        ),
        (
            "max_drawdown: .nan\n",
            "config/risk.yaml:1: risk.max_drawdown = nan: must be a finite number; "
            "write for example 0.2 (the default), or null to switch it off",
        ),
        (
            "max_exposure: .inf\n",
            "config/risk.yaml:1: risk.max_exposure = inf: must be a finite number; "
            "write for example 0.95 (the default), or null to switch it off",
        ),
        (
            "max_open_orders: many\n",
            "config/risk.yaml:1: risk.max_open_orders = many: must be a whole number; "
            "write for example 20 (the default), or null to switch it off",
        ),
        (
            "max_open_orders: yes\n",
            "config/risk.yaml:1: risk.max_open_orders = True: must be a number, not yes or no; write digits",
        ),
        (
            "loss_streak:\n  losses: -1\n",
            "config/risk.yaml:2: risk.loss_streak.losses = -1: must be above 0; write for example 5 (the default)",
        ),
        (
            "stale_after: -5\n",
            "config/risk.yaml:1: risk.stale_after = -5: must be above 0; "
            "write for example 30s (the default), or null to switch it off",
        ),
        (
            "stale_after: soon\n",
            "config/risk.yaml:1: risk.stale_after = soon: is not a duration; "
            "write a number and a unit, such as 250ms, 30s, 15m, 2h or 7d",
        ),
        (
            "allowed_symbols: [DOGE/USDT]\n",
            "config/risk.yaml:1: risk.allowed_symbols = DOGE/USDT: is not traded (exchange.symbols is BTC/USDT, ETH/USDT); "
            "add it to exchange.symbols or remove it here",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_refused_with_a_remedy(complaint: Complaint, risk: str, line: str) -> None:
    assert complaint("", risk) == line


@pytest.mark.parametrize(
    ("bot", "parts"),
    [
        ("exchange: {symbols: BTCUSDT}\n", ("exchange.symbols = BTCUSDT", "write BASE/QUOTE, such as BTC/USDT")),
        ("exchange: {timeframes: [5x]}\n", ("exchange.timeframes", "is not a timeframe")),
        ("exchange: 5\n", ("exchange = 5", "must be a mapping")),
        ("exchange: {options: {apiKey: abc}}\n", ("exchange.options", "secrets set")),
        ("paper: {starting_balance: .nan}\n", ("paper.starting_balance = nan", "must be a finite number")),
        ("paper: {starting_balance: -1}\n", ("paper.starting_balance = -1", "must be above 0", "10000")),
        ("desk: {policy: priorty}\n", ("desk.policy = priorty", "did you mean 'priority'?")),
        ("desk: {sizing: nope}\n", ("desk.sizing = nope", "write one of fixed-fraction")),
        ("desk: {sizings: {mine: {policy: kely}}}\n", ("desk.sizings.mine", "names no sizing policy")),
        ("bot: {order_prefix: toolong}\n", ("bot.order_prefix = toolong",)),
        ("journal: {url: mysql://u:hunter2@x/y}\n", ("journal.url = mysql://u:***@x/y", "sqlite:///FILE")),
        ("redis: {url: localhost}\n", ("redis.url = localhost", "auto or off")),
        ("live: {confirm: yes please}\n", ("live.confirm", "I-understand")),
        ("market: {stall_multiple: 0.5}\n", ("market.stall_multiple = 0.5", "must be above 1")),
        ("risk: {max_drawdown: 0.1}\n", ("config/bot.yaml:1: risk", "move it to config/risk.yaml")),
    ],
)
def test_a_wrong_value_names_key_value_and_remedy(complaint: Complaint, bot: str, parts: tuple[str, ...]) -> None:
    line = complaint(bot)
    assert all(part in line for part in parts), line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("bot: [\n", ("config/bot.yaml:", "is not YAML")),
        ("bot:\n  name: a\n  name: b\n", ("config/bot.yaml:3: bot.name", "said twice (first in line 2)", "keep one")),
        ("- bot\n", ("config/bot.yaml", "does not hold a mapping")),
        ("bot: {5: x}\n", ("config/bot.yaml:1: bot.5", "must be a plain word")),
        ("bot: &a {name: *a}\n", ("config/bot.yaml", "is not YAML")),
        ("bot: {name: 2024-13-45}\n", ("config/bot.yaml", "is not YAML")),
    ],
)
def test_yaml_that_is_none_or_says_a_key_twice_is_refused(complaint: Complaint, text: str, parts: tuple[str, ...]) -> None:
    line = complaint(text)
    assert all(part in line for part in parts), line


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bot.yaml").write_bytes(b"bot: \xff\xfe\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        load(tmp_path, environ={})


def test_a_missing_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    (tmp_path / "bot.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"risk\.yaml: file: does not exist; write it with `python -m bot config init`"):
        load(tmp_path, environ={})


def test_a_missing_directory_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: --config: is not a directory; write one with `python -m bot config init"):
        load(tmp_path / "nowhere", environ={})


@pytest.mark.parametrize(
    ("env", "parts"),
    [
        ({"ARBITER_RISK__MAX_DRAWDOWN": "-3"}, ("ARBITER_RISK__MAX_DRAWDOWN: risk.max_drawdown = -3", "must be above 0")),
        ({"ARBITER_RISK__MAX_DRAWDON": "3"}, ("ARBITER_RISK__MAX_DRAWDON", "did you mean 'max_drawdown'?")),
        ({"ARBITER_RISKS__MAX_DRAWDOWN": "3"}, ("ARBITER_RISKS__MAX_DRAWDOWN", "names no section", "ARBITER_RISK__")),
        ({"ARBITER_EXCHANGE": "{"}, ("ARBITER_EXCHANGE", "written as JSON")),
        ({"ARBITER_RISK__MAX_DRAWDOWN": "nan"}, ("ARBITER_RISK__MAX_DRAWDOWN", "must be a finite number")),
    ],
)
def test_a_wrong_variable_is_named(complaint: Complaint, env: dict[str, str], parts: tuple[str, ...]) -> None:
    line = complaint(env=env)
    assert all(part in line for part in parts), line


def test_a_wrong_option_names_the_command_line(complaint: Complaint) -> None:
    assert complaint(overrides={"exchange.id": "No Venue"}).startswith("command line: exchange.id = No Venue: ")


def test_every_problem_is_kept_and_the_first_is_told(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        configure("bot: {nam: x}\n", "max_drawdown: -1\nmax_exposure: -1\n")
    assert len(caught.value.problems) == 3
    assert str(caught.value).endswith("(and 2 more)")


def test_the_value_of_a_secret_looking_key_is_not_repeated(complaint: Complaint) -> None:
    assert "CANARY" not in complaint("bot: {api_key: CANARY-0123456789}\n")
