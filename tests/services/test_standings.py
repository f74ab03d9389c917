"""Who stands where: counted from the journal's own tables, for a book and a span."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert

from bot.core.decision import Tier
from bot.journal import tables as t
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.journal.upgrade import upgrade
from bot.services.standings import curves, gained, standings, wilson

BOOK = BookKey("arbiter", "paper", "binance", "real")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A journal in which a rule earned 2 and -1, was overruled once, and the language model made nothing."""
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    upgrade(url)
    engine = create_engine(url)
    who = {"book": 1, "run": "r1"}
    rule, model = {"source": "rules:a", "tier": 2}, {"source": "llm:b", "tier": 1}
    lot = {
        **who, "symbol": "BTC/USDT", "side": "buy", "amount": "1", "entry": "1", "exit": "2", "opened": 0, "opener": "rules:a",
        "opener_tier": 2, "opening_decision": None, "closer": "llm:b", "closing_leg": "exit", "fees": "0",
    }  # fmt: skip
    fate = {**who, "symbol": "BTC/USDT", "denial": None, "verdict_id": None, "winner": None, "reason": ""}
    verdict = {
        **who, "symbol": "BTC/USDT", "policy": "priority", "winner": "d1", "action": "buy", "confidence": 0.5, "reason": "",
        "target": "1", "position": "0",
    }  # fmt: skip
    sample = {**who, "equity": 1.0, "fees": "0", "trades": 0, "wins": 0}
    with engine.begin() as connection:
        connection.execute(
            insert(t.books), [{"id": 1, **{name: getattr(BOOK, name) for name in ("bot", "mode", "venue", "world")}}]
        )
        run = {"id": "r1", "book": 1, "started": 0, "simulated": False, "config_hash": "", "config": "{}", "code_version": ""}
        connection.execute(insert(t.runs), [{**run, "closed_cleanly": False}])
        connection.execute(
            insert(t.lots_closed), [{**lot, "at": 100, "pnl": "2"}, {**lot, "at": 300, "opened": 250, "pnl": "-1"}]
        )
        fates = [(rule, "executed", 90), (rule, "outranked", 200), (model, "held", 250)]
        connection.execute(insert(t.fates), [{**fate, **s, "decision_id": f"d{at}", "fate": f, "at": at} for s, f, at in fates])
        connection.execute(
            insert(t.verdicts),
            [
                {**verdict, **rule, "id": "v1", "at": 80, "outranked": "[]"},
                {**verdict, **model, "id": "v2", "at": 200, "outranked": '["d1"]'},
            ],
        )
        override = {**who, "symbol": "BTC/USDT", "loser": "rules:a", "winner": "llm:b", "decision_id": "d1", "verdict_id": "v2"}
        connection.execute(
            insert(t.overrides), [{**override, "at": 400, "since": 200, "shadow_pnl": 3.0, "book_pnl": 1.0, "cost": 2.0}]
        )
        shadows = [(50, "1", 0.5), (350, "4", -1.0)]
        connection.execute(
            insert(t.shadow_samples),
            [{**sample, **rule, "at": at, "realised": made, "unrealised": open_} for at, made, open_ in shadows],
        )
        equity = {**who, "cash": "1", "equity": 1.0, "fees": "0", "peak": 1.0, "drawdown": 0.0, "exposure": 0.0}
        connection.execute(
            insert(t.equity), [{**equity, "at": at, "realised": made, "unrealised": 0.25} for at, made in ((50, "1"), (350, "2"))]
        )
    engine.dispose()
    return url


def test_every_mind_is_scored_by_what_it_earned_won_and_was_overruled_in(url: str) -> None:
    with Queries(url) as queries:
        found = standings(queries, BOOK)
    rule, model = found.scores
    assert (rule.source, rule.tier, rule.decisions, dict(rule.fates)) == (
        "rules:a",
        Tier.TRADITIONAL,
        2,
        {"executed": 1, "outranked": 1},
    )
    assert (rule.trades, rule.earned, rule.won, rule.contested) == (2, 1.0, 1, 0)
    assert (rule.overruled, rule.cost, rule.alone) == (1, 2.0, 3.0)
    assert (model.source, model.won, model.contested, model.alone) == ("llm:b", 1, 1, None)
    assert (found.arbiter, found.trades) == (2.25, 2)
    assert found.win_rate is not None
    assert (found.win_rate.share, found.win_rate.n) == (0.5, 2)


def test_a_span_counts_only_what_happened_in_it(url: str) -> None:
    with Queries(url) as queries:
        found = standings(queries, BOOK, since=150)
    rule = next(score for score in found.scores if score.source == "rules:a")
    assert (rule.trades, rule.earned, rule.decisions, rule.won) == (1, -1.0, 1, 0)
    assert rule.alone == 3.0 - 1.5, "what it made between the last sample before the span and the newest"
    assert found.arbiter == 1.0


def test_what_was_made_since_a_moment_is_by_the_last_sample_before_it_and_unknown_where_nothing_came_after(url: str) -> None:
    with Queries(url) as queries:
        assert [gained(queries, BOOK, since) for since in (0, 40, 150, 351)] == [2.25, 2.25, 1.0, None]
        assert gained(queries, BookKey("other", "paper", "binance", "real")) is None


def test_other_books_are_not_looked_at(url: str) -> None:
    with Queries(url) as queries:
        assert standings(queries, BookKey("arbiter", "paper", "binance", "simulated")).scores == ()
        assert curves(queries, BookKey("other", "paper", "binance", "real")) == ()


def test_curves_begin_with_the_arbiter(url: str) -> None:
    with Queries(url) as queries:
        found = curves(queries, BOOK)
    assert [(curve.name, curve.at, curve.pnl) for curve in found] == [
        ("arbiter", (50, 350), (1.25, 2.25)),
        ("rules:a", (50, 350), (1.5, 3.0)),
    ]


@pytest.mark.parametrize("decision", ["d1", None])
def test_pieces_of_one_trade_are_one_trade_and_their_sums_stay(decision: str | None, url: str) -> None:
    lot = {
        "book": 1, "run": "r1", "at": 500, "symbol": "ETH/USDT", "side": "buy", "amount": "1", "entry": "1", "exit": "2",
        "opened": 400, "opener": "rules:a", "opener_tier": 2, "opening_decision": decision, "closer": "rules:a",
        "closing_leg": "exit", "fees": "0",
    }  # fmt: skip
    alone = {
        "book": 1, "run": "r1", "at": 500, "source": "rules:a", "symbol": "ETH/USDT", "decision_id": "d1", "opened": 400,
        "entry": "1", "exit": "2", "amount": "1", "leg": "exit",
    }  # fmt: skip
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(t.lots_closed), [{**lot, "pnl": pnl} for pnl in ("3", *["-0.25"] * 9)])
        connection.execute(insert(t.lots_closed), [{**lot, "opening_decision": "d2", "opened": 450, "pnl": "-1"}])
        connection.execute(insert(t.shadow_trades), [{**alone, "pnl": pnl} for pnl in ("1", "-0.5", "-0.25")])
    engine.dispose()
    with Queries(url) as queries:
        found = standings(queries, BOOK, since=400)
    (score,) = [score for score in found.scores if score.source == "rules:a"]
    assert (score.trades, score.earned) == (2, 3.0 - 9 * 0.25 - 1.0)
    assert score.win_rate is not None
    assert (score.win_rate.share, score.win_rate.n) == (0.5, 2)
    assert (found.trades, found.win_rate) == (2, score.win_rate)
    assert score.alone_win_rate is not None
    assert (score.alone_trades, score.alone_win_rate.share) == (1, 1.0)


def test_a_curve_begins_where_the_table_does_and_ends_at_what_it_says(url: str) -> None:
    with Queries(url) as queries:
        found, told = curves(queries, BOOK, since=150), standings(queries, BOOK, since=150)
        whole = curves(queries, BOOK, since=40)
    assert [(curve.name, curve.at, curve.pnl) for curve in found] == [("arbiter", (350,), (1.0,)), ("rules:a", (350,), (1.5,))]
    assert found[0].pnl[-1] == told.arbiter
    assert found[1].pnl[-1] == next(score.alone for score in told.scores if score.source == "rules:a")
    assert [curve.pnl for curve in whole] == [(1.25, 2.25), (1.5, 3.0)], "books that began later began with nothing"


@given(st.integers(1, 10_000), st.data())
def test_the_interval_holds_the_share_and_stays_within_bounds(n: int, data: st.DataObject) -> None:
    won = data.draw(st.integers(0, n))
    found = wilson(won, n)
    assert found is not None
    assert 0 <= found.low <= found.share + 1e-12
    assert found.share <= found.high + 1e-12
    assert found.high <= 1


def test_of_nothing_there_is_no_share() -> None:
    assert wilson(0, 0) is None
