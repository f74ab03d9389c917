"""What a person is told of all that happens: one notice for what comes in crowds, and nothing that the desk tells by itself."""

from __future__ import annotations

import ast
import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from bot import logs
from bot.core.decision import Denial, Fate, Tier
from bot.core.effects import Notify, Severity
from bot.core.facts import DecisionFate, FillBooked, HealthChanged, OrderChanged, RiskChanged
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import Fill, Leg, OrderState
from bot.outlets.alerts import AlertRules, Alerts
from bot.outlets.notifying.watch import ErrorTap, Watch
from bot.outlets.topics import Topic, topic_of
from tests.outlets.feed_facts import AT, SYMBOL, request

ROOT = Path(__file__).parents[2]


def order(leg: Leg = Leg.ENTRY, state: OrderState = OrderState.FILLED, filled: str = "0.010", **changed: Any) -> OrderChanged:
    asked = replace(request(), leg=leg, side=Side.BUY if leg is Leg.ENTRY else Side.SELL, **changed)
    return OrderChanged(AT, asked, state, Decimal(filled), Decimal("100.50"))


def fill(realised: str, number: int = 1) -> FillBooked:
    made = Fill(str(number), "arb1order", SYMBOL, Side.SELL, Decimal("0.005"), Decimal(100), Decimal(0), "USDT", AT)
    return FillBooked(AT, made, "llm:claude", Tier.LLM, 0.8, "d1", Decimal(realised), Decimal(0), 0.0)


def denied(denial: Denial, at: int = AT) -> DecisionFate:
    return DecisionFate(at, "d1", "llm:claude", Tier.LLM, SYMBOL, Fate.DENIED, denial)


def told(alerts: Alerts, *facts: Any) -> list[tuple[Topic, Severity, str, str]]:
    found = [alert for fact in facts for alert in alerts.saw(fact)]
    return [(each.topic, each.notice.severity, each.notice.title, each.notice.text) for each in found]


def woken(alerts: Alerts, at: int) -> list[tuple[Topic, Severity, str, str]]:
    return [(each.topic, each.notice.severity, each.notice.title, each.notice.text) for each in alerts.wake(at)]


def test_an_order_is_told_once_when_it_is_over_with_what_all_its_fills_earned() -> None:
    found = told(
        Alerts(),
        order(Leg.EXIT, OrderState.OPEN, "0"),
        fill("1.25"),
        fill("-0.50", 2),
        order(Leg.EXIT, OrderState.FILLED),
    )
    assert found == [
        (Topic.FILLS, Severity.INFO, "Sold 0.01 BTC/USDT", "at 100.5, by llm:claude, exit, P&L +0.75"),
    ]


def test_an_order_that_ended_partly_filled_says_what_is_open_and_one_without_a_fill_is_not_told() -> None:
    (found,) = told(Alerts(), order(state=OrderState.CANCELLED, filled="0.004"))
    assert found[3] == "at 100.5, by llm:claude, entry, cancelled with 0.006 open"
    assert told(Alerts(), order(state=OrderState.CANCELLED, filled="0")) == []


@pytest.mark.parametrize(
    ("leg", "severity", "title"),
    [
        (Leg.STOP_LOSS, Severity.WARNING, "Stop-loss filled: sold 0.01 BTC/USDT"),
        (Leg.TRAILING_STOP, Severity.WARNING, "Trailing stop filled: sold 0.01 BTC/USDT"),
        (Leg.TAKE_PROFIT, Severity.INFO, "Target reached: sold 0.01 BTC/USDT"),
    ],
)
def test_a_protective_exit_is_told_as_a_stop_and_not_as_a_fill_too(leg: Leg, severity: Severity, title: str) -> None:
    ((topic, loud, said, _),) = told(Alerts(), order(leg))
    assert (topic, loud, said) == (Topic.STOPS, severity, title)


def test_denials_are_counted_for_a_while_and_told_in_one_notice() -> None:
    alerts = Alerts(AlertRules(denials=60_000))
    for at in range(5):
        assert told(alerts, denied(Denial.MAX_POSITION, AT + at)) == []
    assert told(alerts, denied(Denial.COOL_DOWN, AT + 10)) == []
    assert woken(alerts, AT + 59_999) == []
    ((topic, severity, title, text),) = woken(alerts, AT + 60_000)
    assert (topic, severity, title) == (Topic.DENIALS, Severity.INFO, "Risk refused 6 decisions")
    assert text == "max-position 5, cool-down 1, in 60 s"
    assert woken(alerts, AT + 999_999) == []


@pytest.mark.parametrize("denial", [Denial.DAILY_LOSS, Denial.DRAWDOWN, Denial.LOSS_STREAK, Denial.HALTED, Denial.REDUCING])
def test_what_the_desk_notifies_of_by_itself_is_not_told_twice(denial: Denial) -> None:
    alerts = Alerts()
    assert told(alerts, denied(denial)) == []
    assert woken(alerts, AT + 999_999) == []
    assert told(alerts, RiskChanged(AT, TradingState.HALTED, "cli", "by hand")) == []
    assert told(alerts, RiskChanged(AT, TradingState.ACTIVE, "risk", "daily-loss")) == []


def test_trading_again_and_a_flattened_book_are_told() -> None:
    found = told(
        Alerts(),
        RiskChanged(AT, TradingState.ACTIVE, "cli", "by hand"),
        RiskChanged(AT, TradingState.HALTED, "desk", "flattened"),
    )
    assert [each[2] for each in found] == ["Trading is active", "Every position is closed"]
    assert {each[0] for each in found} == {Topic.TRADING}


def test_symbols_that_stall_together_are_told_together_and_their_recovery_too() -> None:
    alerts = Alerts(AlertRules(settle=5_000))
    for symbol in ("BTC/USDT", "ETH/USDT"):
        assert told(alerts, HealthChanged(AT, symbol, Health.STALE, "no quote for 15 s")) == []
    assert woken(alerts, AT + 4_999) == []
    ((topic, severity, title, text),) = woken(alerts, AT + 5_000)
    assert (topic, severity, title) == (Topic.FEEDS, Severity.WARNING, "Market data stalls")
    assert text == "BTC/USDT (no quote for 15 s), ETH/USDT (no quote for 15 s)"
    assert woken(alerts, AT + 9_000) == []
    for symbol in ("BTC/USDT", "ETH/USDT"):
        told(alerts, HealthChanged(AT + 10_000, symbol, Health.FRESH, ""))
    assert woken(alerts, AT + 10_000) == [(Topic.FEEDS, Severity.INFO, "Market data flows again", "BTC/USDT, ETH/USDT")]
    assert woken(alerts, AT + 11_000) == []


def test_a_hiccup_shorter_than_the_settling_time_is_not_told_nor_is_an_order_that_freezes_a_healthy_symbol() -> None:
    alerts = Alerts()
    told(alerts, HealthChanged(AT, SYMBOL, Health.GAP, "a gap"), HealthChanged(AT + 1_000, SYMBOL, Health.FRESH, ""))
    told(alerts, HealthChanged(AT, SYMBOL, Health.FRESH, "frozen: order x is unknown at the venue"))
    assert woken(alerts, AT + 60_000) == []


def stalls(alerts: Alerts, at: int) -> None:
    told(alerts, HealthChanged(AT + at, SYMBOL, Health.STALE, "no quote"))


def flows(alerts: Alerts, at: int) -> None:
    told(alerts, HealthChanged(AT + at, SYMBOL, Health.FRESH, ""))


def test_a_feed_that_stalls_again_soon_is_told_when_the_time_is_over_if_it_still_stalls() -> None:
    alerts, heard = Alerts(AlertRules(settle=5_000, again=300_000)), []
    changes = {0: stalls, 10: flows, 20: stalls}
    for second in range(600):
        if second in changes:
            changes[second](alerts, second * 1_000)
        heard += [(second, each[2]) for each in woken(alerts, AT + second * 1_000)]
    assert heard == [(5, "Market data stalls"), (10, "Market data flows again"), (305, "Market data stalls")]


def test_a_feed_that_flaps_all_the_time_is_told_once_in_the_time_and_each_stall_that_was_told_with_its_end() -> None:
    alerts, heard = Alerts(AlertRules(settle=5_000, again=300_000)), []
    for second in range(900):
        if second % 10 == 0:
            (stalls if second % 20 else flows)(alerts, second * 1_000)
        heard += [(second, each[2]) for each in woken(alerts, AT + second * 1_000)]
    assert [what for _, what in heard] == ["Market data stalls", "Market data flows again"] * 3
    falls = [second for second, what in heard if what == "Market data stalls"]
    assert all(later - earlier >= 300 for earlier, later in itertools.pairwise(falls))


def test_a_feed_that_stalls_again_before_its_recovery_was_told_is_told_once_it_is_over() -> None:
    alerts = Alerts(AlertRules(settle=5_000))
    stalls(alerts, 0)
    assert len(woken(alerts, AT + 5_000)) == 1
    flows(alerts, 9_100)
    stalls(alerts, 9_200)
    assert woken(alerts, AT + 10_000) == []
    flows(alerts, 60_000)
    assert [each[2] for each in woken(alerts, AT + 60_000)] == ["Market data flows again"]


def test_when_things_were_said_is_forgotten_after_the_time() -> None:
    alerts = Alerts(AlertRules(settle=0, again=1_000))
    for number in range(100):
        alerts.failing(AT + number * 1_000, {f"task {number}": "no"})
        woken(alerts, AT + number * 1_000)
    assert len(alerts._tasks.said) == 1


def test_a_source_that_is_degraded_is_told_once_and_again_when_it_is_well() -> None:
    alerts = Alerts()
    for at in (0, 1_000, 6_000, 7_000):
        alerts.troubled(AT + at, {"llm:claude": ["no key", "budget spent"], "qc:x": []})
        found = woken(alerts, AT + at)
        assert len(found) == (1 if at == 6_000 else 0)
        if found:
            assert found[0][1:] == (Severity.WARNING, "A source is degraded", "llm:claude (no key; budget spent)")
    alerts.troubled(AT + 8_000, {})
    assert woken(alerts, AT + 8_000) == [(Topic.SOURCES, Severity.INFO, "A source is well again", "llm:claude")]


def test_a_further_ailment_of_a_source_that_was_told_is_told_too() -> None:
    alerts = Alerts(AlertRules(settle=0))
    alerts.troubled(AT, {"rules:sma": ["BTC/USDT has no rule"]})
    assert len(woken(alerts, AT)) == 1
    both = ["BTC/USDT has no rule", "ETH/USDT has no rule"]
    alerts.troubled(AT + 1_000_000, {"rules:sma": both})
    assert [each[3] for each in woken(alerts, AT + 1_000_000)] == ["rules:sma (BTC/USDT has no rule; ETH/USDT has no rule)"]
    alerts.troubled(AT + 2_000_000, {"rules:sma": both[:1]})
    alerts.troubled(AT + 3_000_000, {"rules:sma": both})
    assert woken(alerts, AT + 3_000_000) == []


def test_a_task_that_fails_is_told_and_that_it_is_well_again_too() -> None:
    alerts = Alerts(AlertRules(settle=5_000))
    for at in (0, 5_000):
        alerts.failing(AT + at, {"feed": "OSError: no route"})
    ((topic, severity, title, text),) = woken(alerts, AT + 5_000)
    assert (topic, severity, title) == (Topic.ERRORS, Severity.WARNING, "A task of the bot fails")
    assert text == "feed (OSError: no route)"
    alerts.failing(AT + 9_000, {})
    assert woken(alerts, AT + 9_000) == [(Topic.ERRORS, Severity.INFO, "A task of the bot is well again", "feed")]


def test_a_journal_that_cannot_be_written_is_told_loudly_and_that_it_can_be_again() -> None:
    alerts = Alerts(AlertRules(settle=5_000))
    for at in (0, 5_000):
        alerts.hindered(AT + at, "disk-full, 7 rows wait")
    ((topic, severity, title, text),) = woken(alerts, AT + 5_000)
    assert (topic, severity, title) == (Topic.ERRORS, Severity.CRITICAL, "The journal cannot be written")
    assert text == "the database (disk-full, 7 rows wait)"
    alerts.hindered(AT + 6_000, None)
    assert woken(alerts, AT + 6_000) == [(Topic.ERRORS, Severity.INFO, "The journal can be written again", "the database")]


def test_a_burst_of_errors_is_told_once_and_a_trickle_never() -> None:
    alerts = Alerts(AlertRules(errors=3, window=10_000, quiet=60_000))
    for step in range(20):
        alerts.erred(AT + step * 5_000, ["one_failed"])
        assert [each[2] for each in woken(alerts, AT + step * 5_000)] == (
            ["3 errors in the log within 10 s"] if step in {2, 14} else []
        )
    calm = Alerts(AlertRules(errors=3, window=10_000))
    for step in range(20):
        calm.erred(AT + step * 5_001, ["one_failed"])
        assert woken(calm, AT + step * 5_001) == []


def test_what_is_remembered_is_bounded() -> None:
    alerts = Alerts(AlertRules(errors=3))
    for number in range(5_000):
        made = fill("1")
        alerts.saw(replace(made, fill=replace(made.fill, order_id=str(number))))
        alerts.erred(AT, ["x"])
    assert len(alerts._realised) == 1_000
    assert len(alerts._errors) == 30


def _titles() -> Iterator[tuple[str, str]]:
    """Every title that the bot's code gives a notice, with where; what it fills in stands as a name."""
    for path in [*(ROOT / "bot").rglob("*.py"), *(ROOT / "sources").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"notify", "Notify"} and len(node.args) == 3 and path.name != "alerts.py":
                title = ast.unparse(node.args[1])
                yield title.removeprefix("f").strip("'\""), f"{path.name}:{node.lineno}"


def test_every_notice_that_the_code_can_give_has_a_topic() -> None:
    titles = [each for each in _titles() if each[0] != "title"]
    assert len(titles) > 20, "the desk's notices are found"
    missing = [(title, where) for title, where in titles if topic_of(Notify(Severity.INFO, title, "")) is Topic.OTHER]
    assert not missing, f"give them a topic in bot/outlets/topics.py: {missing}"


def test_a_watch_that_stumbles_never_reaches_the_desk_and_says_so_once() -> None:
    def broken(topic: Topic, notice: Notify) -> None:
        raise OSError

    watch = Watch(Alerts(), broken, lambda: AT, dict)
    with capture_logs() as lines:
        watch.saw(order())
        watch.saw(order())
    assert watch.failures == 2
    assert [line["event"] for line in lines] == ["alerts_failed"]


def test_the_watch_tells_what_troubles_and_errors_come_to() -> None:
    at, heard = [AT], []
    watch = Watch(
        Alerts(AlertRules(settle=0)),
        lambda topic, notice: heard.append((topic, notice.title)),
        lambda: at[0],
        lambda: {"a": ["b"]},
    )
    watch.look()
    assert heard == [(Topic.SOURCES, "A source is degraded")]


def test_the_watch_tells_of_tasks_that_fail() -> None:
    heard: list[str] = []
    watch = Watch(
        Alerts(AlertRules(settle=0)),
        lambda _, notice: heard.append(notice.text),
        lambda: AT,
        dict,
        lambda: {"feed": "OSError: x"},
    )
    watch.look()
    assert heard == ["feed (OSError: x)"]


@pytest.fixture
def _logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logs_as_they_were")
def test_the_tap_hears_the_names_of_errors_and_nothing_else() -> None:
    logs.configure(level="info")
    tap, root = ErrorTap(), logging.getLogger()
    root.addHandler(tap)
    try:
        log = structlog.get_logger("tests.here")
        log.error("it_failed", why="secret9word")
        log.warning("it_wobbles")
        log.critical("notice", title="a critical notice is no error")
        logging.getLogger("library").error("said %s", "secret9word")
    finally:
        root.removeHandler(tap)
    assert tap.drain() == ["it_failed", "library"]
    assert tap.drain() == []
