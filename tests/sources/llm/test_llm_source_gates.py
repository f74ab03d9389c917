"""The gates and the circuit: what must have changed before money is spent, and when a source stops itself."""

from __future__ import annotations

from typing import Any

import pytest

from bot.core.decision import Action
from simulators.llm.faults import Fault, Mode
from sources.llm.circuit import Circuit
from sources.llm.gates import Seen, figures_of, shut
from sources.llm.params import CircuitParams, GateParams
from sources.llm.prompts.example import example_sight
from sources.llm.snapshot import Snapshot, take
from tests.sources.llm.llm_source_world import MODELS, NOW, SYMBOL, a_source, next_candle, source_world

HOUR = 3_600_000
RSI = "rsi14@5m"


def seen(params: GateParams, **changes: Any) -> tuple[Snapshot, Seen]:
    """A snapshot, and what was seen one candle earlier, nothing else being different."""
    snapshot = take(example_sight())
    figures = {name: figures_of(snapshot)[name] for name in params.indicators}
    known = {"at": snapshot.at - 300_000, "candle": "earlier", "price": snapshot.price, "figures": figures, "amount": "1"}
    return snapshot, Seen(**{**known, **changes})


def test_the_first_question_is_always_asked() -> None:
    assert shut(GateParams(price=0.1), take(example_sight()), "", None) is None


def test_a_candle_alone_is_enough_where_no_change_is_asked_for() -> None:
    snapshot, last = seen(GateParams())
    assert shut(GateParams(), snapshot, "1", last) is None
    same = Seen.of(snapshot, GateParams(), "1")
    assert shut(GateParams(), snapshot, "1", same) == "no candle has closed since"
    assert shut(GateParams(candle=False), snapshot, "1", same) is None


@pytest.mark.parametrize(
    ("params", "change"),
    [
        (GateParams(price=0.01), {"price": 50_000.0 / 1.02}),
        (GateParams(price=0.01), {"price": 50_000.0 / 0.98}),
        (GateParams(price=0.01), {"price": None}),
        (GateParams(indicators={RSI: 3.0}), {"figures": {RSI: 0.0}}),
        (GateParams(indicators={RSI: 3.0}), {"figures": {}}),
        (GateParams(position=True), {"amount": "2"}),
        (GateParams(price=0.5, indicators={RSI: 90.0}, at_least_every="1h"), {"at": 0}),
    ],
)
def test_each_gate_opens_by_its_own_change(params: GateParams, change: dict[str, Any]) -> None:
    snapshot, last = seen(params)
    assert shut(params, snapshot, "1", last) == "nothing has changed enough"
    snapshot, last = seen(params, **change)
    assert shut(params, snapshot, "1", last) is None


def test_too_many_decisions_in_an_hour_open_the_circuit_and_it_closes_by_itself() -> None:
    circuit = Circuit(CircuitParams(decisions_per_hour=3, rest="10m"))
    for number in range(3):
        circuit.decided("A/B", Action.HOLD, NOW + number)
    assert circuit.open(NOW + 3) is None
    circuit.decided("A/B", Action.HOLD, NOW + 3)
    opened = circuit.open(NOW + 4)
    assert opened is not None
    assert (opened.until, opened.code, "3 decisions" in opened.reason) == (NOW + 3 + 600_000, "circuit", True)
    assert circuit.open(opened.until - 1) is opened
    assert circuit.open(opened.until) is None
    circuit.decided("A/B", Action.HOLD, opened.until)
    assert circuit.open(opened.until + 1) is None


def test_decisions_of_more_than_an_hour_ago_are_forgotten() -> None:
    circuit = Circuit(CircuitParams(decisions_per_hour=3))
    for number in range(20):
        circuit.decided("A/B", Action.BUY, NOW + number * HOUR // 3)
        assert circuit.open(NOW + number * HOUR // 3) is None


def test_turning_around_too_often_opens_it_and_holding_is_no_turn() -> None:
    circuit = Circuit(CircuitParams(flips_per_hour=2))
    for number, action in enumerate((Action.BUY, Action.HOLD, Action.SELL, Action.SELL, Action.BUY)):
        circuit.decided("A/B", action, NOW + number)
    circuit.decided("C/D", Action.BUY, NOW)  # another symbol
    circuit.decided("C/D", Action.SELL, NOW)
    assert circuit.open(NOW + 10) is None
    circuit.decided("A/B", Action.SELL, NOW + 10)
    opened = circuit.open(NOW + 10)
    assert opened is not None
    assert "turns" in opened.reason


def test_too_large_a_share_of_nonsense_opens_it_but_not_before_there_are_enough() -> None:
    circuit = Circuit(CircuitParams(rejected=0.5, rejected_of=4))
    for _ in range(3):
        circuit.refused(NOW)
    assert circuit.open(NOW) is None
    circuit.decided("A/B", Action.BUY, NOW)
    assert circuit.open(NOW) is None  # it is asked about when nonsense comes
    circuit.refused(NOW)
    assert circuit.open(NOW) is not None


def test_failures_in_a_row_make_it_rest_and_an_answer_ends_the_row() -> None:
    circuit = Circuit(CircuitParams(failures=2, failure_rest="1m"))
    circuit.failed(NOW)
    circuit.refused(NOW)
    circuit.failed(NOW)
    assert circuit.open(NOW) is None
    circuit.failed(NOW)
    opened = circuit.open(NOW)
    assert opened is not None
    assert (opened.code, opened.until) == ("resting", NOW + 60_000)


async def test_a_source_that_pauses_itself_asks_nobody_says_so_and_comes_back(sqlite_url: str) -> None:
    params = {"circuit": {"decisions_per_hour": 1, "rest": "15m"}, "cool_down": "1s"}
    async with (
        source_world(sqlite_url, models={"openai": MODELS["openai"]}) as world,
        world.running(a_source(world.minds, params)) as source,
    ):
        for _ in range(2):
            source.hear(next_candle(world.port))
            await world.port.until(lambda: bool(world.port.decisions))
            await source.decide(SYMBOL)  # waits for what is under way
        before = len(world.simulator.requests())
        source.hear(next_candle(world.port))
        await world.port.until(lambda: bool(world.port.abstentions))
        assert {one.reason for one in world.port.abstentions} == {"circuit"}
        assert len(world.simulator.requests()) == before
        (ailment,) = source.ailments
        assert "pauses itself" in ailment
        assert source.standing["trips"] == 1
        world.port.at += 15 * 60_000
        said = len(world.port.decisions)
        source.hear(next_candle(world.port))
        world.port.quote(world.port.view.history(SYMBOL, "5m")[-1].close)
        for _ in range(3):
            source.hear(next_candle(world.port))
        await world.port.until(lambda: len(world.port.decisions) > said)
        assert source.ailments == []


async def test_nonsense_in_a_row_pauses_it(sqlite_url: str) -> None:
    params = {"circuit": {"rejected": 0.5, "rejected_of": 3}, "bounds": {"reward_risk": 99.0}}
    async with source_world(sqlite_url, models={"openai": MODELS["openai"]}) as world:
        source = a_source(world.minds, params)
        for _ in range(3):
            found = await source.decide(SYMBOL, port=world.port)
            assert found.abstention is not None
            assert found.abstention.reason == "semantic:reward-risk"
        found = await source.decide(SYMBOL, port=world.port)
        assert found.abstention is not None
        assert found.abstention.reason == "circuit"


async def test_a_service_that_is_down_makes_it_rest(sqlite_url: str) -> None:
    own = {"candidates": [{"provider": "openai", "model": MODELS["openai"]}], "circuit": {"failures": 2}}
    async with source_world(sqlite_url) as world:
        world.simulator.inject(Fault(Mode.SERVER_ERROR))
        source = a_source(world.minds, own)
        found = [await source.decide(SYMBOL, port=world.port) for _ in range(3)]
        assert [one.abstention.reason for one in found if one.abstention] == ["server", "server", "resting"]
        assert len(world.simulator.requests()) == 2
