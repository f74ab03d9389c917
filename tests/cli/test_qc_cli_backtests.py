"""`qc backtest` and its kin, from a YAML to figures and files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simulators.quantconnect.faults import CompileError, NodesBusy
from simulators.quantconnect.server import QuantConnectSimulator
from tests.cli.qc_world import QUICK, Shell
from tests.simulators.quantconnect_client import Client

CONFIG = """
symbol: BTC/USDT
start: 2026-01-06
end: 2026-01-16
timeframe: 1h
strategy: {kind: sma-cross, params: {fast: 5, slow: 20}}
"""


@pytest.fixture
async def qc(cli: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    async with QuantConnectSimulator(QUICK) as running:
        yield Shell(running, cli, monkeypatch)


@pytest.fixture
def config(home: Path) -> str:
    (home / "bt.yaml").write_text(CONFIG, encoding="utf-8")
    return "bt.yaml"


async def test_a_backtest_goes_from_a_yaml_to_figures_files_and_a_lesson(qc: Shell, config: str, home: Path) -> None:
    code, out, err = await qc("backtest", config, "--analyse", "--out", "found")
    assert code == 0, err
    stages = [line.split(" ")[0] for line in err.splitlines()]
    assert [stage for stage in dict.fromkeys(stages) if stage != "running"][:3] == ["generating", "uploading", "compiling"]
    assert "Cloud backtest sma-cross BTC/USDT" in out
    assert "max drawdown" in out
    assert "learnt: rating" in out
    assert (home / "found" / "result.json").is_file()
    assert f"wrote {home / 'found' / 'algorithm' / 'main.py'}" in out

    code, out, err = await qc("backtests", "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)["backtests"]
    code, out, _ = await qc("backtest-result", row["reference"])
    assert code == 0
    assert row["reference"] in out
    code, out, _ = await qc("compare", row["reference"], "found/result.json")
    assert code == 0
    assert "correlation of daily returns" in out
    code, out, _ = await qc("delete-backtest", row["reference"], "--yes")
    assert (code, out) == (0, f"deleted: {row['reference']}\n")
    code, out, _ = await qc("backtests")
    assert "there is no backtest" in out


async def test_fees_and_slippage_of_the_yaml_are_what_the_cloud_charges(qc: Shell, config: str, home: Path) -> None:
    (home / config).write_text(f"{CONFIG}fees: {{rate: 0.004, slippage: 0.0002}}\n", encoding="utf-8")
    code, out, err = await qc("backtest", config, "--json", "--out", "dear")
    assert code == 0, err
    figures = json.loads((home / "dear" / "result.json").read_text(encoding="utf-8"))
    project, backtest = figures["reference"].split("/")
    async with Client(qc.simulator) as client:
        page = await client.good("/backtests/orders/read", projectId=int(project), backtestId=backtest, start=0, end=100)
    fills = [event for order in page["orders"] for event in order["events"] if event["status"] == "filled"]
    notional = sum(abs(fill["fillQuantity"]) * fill["fillPrice"] for fill in fills)
    assert len(fills) == figures["orders"] == page["length"]
    for found in (figures["fees"], figures["reported"]["statistics"]["total_fees"], json.loads(out)["fees"]):
        assert found == pytest.approx(0.004 * notional, rel=2.1e-4)  # charged on the market's price, which slippage is away from


async def test_a_build_error_is_one_line_that_names_the_line(
    config: str, cli: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with QuantConnectSimulator(replace(QUICK, compile_reads=1)) as running:
        qc = Shell(running, cli, monkeypatch)
        running.inject(CompileError(line=12))
        code, out, err = await qc("backtest", config)
    assert (code, out) == (1, "")
    assert "line 12" in err.splitlines()[-1]
    assert "Traceback" not in err


async def test_a_key_that_is_wrong_is_named_before_anybody_is_asked(qc: Shell, config: str, home: Path) -> None:
    (home / config).write_text(CONFIG.replace("timeframe", "timefrane"), encoding="utf-8")
    code, out, err = await qc("backtest", config)
    assert (code, out) == (4, "")
    assert err == "error: bt.yaml: timefrane = '1h': unknown key; did you mean timeframe?\n"
    assert not qc.simulator.counts()["requests"]


async def test_no_free_node_ends_after_the_wait_that_was_asked_for(qc: Shell, config: str) -> None:
    qc.simulator.inject(NodesBusy(count=1_000))
    code, out, err = await qc("backtest", config, "--node-wait", "1s")
    assert (code, out) == (1, "")
    assert "node" in err.splitlines()[-1]


async def test_a_sweep_says_what_it_costs_and_begins_only_after_a_yes(qc: Shell, config: str) -> None:
    words = ("sweep", config, "--parameter", "fast=5:10:5", "--by", "optimization")
    code, out, _ = await qc(*words, "--estimate")
    assert code == 0
    assert out.startswith("2 sets of parameters by optimization")
    code, out, err = await qc(*words, stdin="n\n")
    assert (code, out) == (1, "")
    assert "QCC of credit" in err
    assert qc.simulator.counts()["requests"].get("/optimizations/create", 0) == 0
    code, out, _ = await qc("sweep", config, "--parameter", "fast=5:10:5", "--yes")
    assert code == 0
    assert out.splitlines()[2].split()[0] == "FAST"
    code, _, err = await qc("sweep", config, "--parameter", "fast=5")
    assert code == 2
    assert "NAME=MIN:MAX:STEP" in err


async def test_a_rule_is_exported_without_asking_anybody(qc: Shell, home: Path) -> None:
    code, out, _ = await qc("export", "sma-cross", "--params", "fast=7", "--symbol", "ETH/USDT", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["parameters"]["fast"] == "7"
    assert "ETHUSDT" in found["files"]["main.py"]
    source = "source: rules:mine\nkind: macd\ntimeframe: 15m\nsymbols: [ETH/USDT]\nparams: {fast: 9}\n"
    (home / "mine.yaml").write_text(source, encoding="utf-8")
    code, out, _ = await qc("export", "mine.yaml", "--out", "lean")
    assert code == 0
    assert out == f"wrote {home / 'lean' / 'main.py'}\n"
    compile((home / "lean" / "main.py").read_text(encoding="utf-8"), "main.py", "exec")
    code, out, _ = await qc("export", "sma-cross", "--csharp")
    assert code == 0
    assert out.startswith("// NEVER COMPILED")
    code, _, err = await qc("export", "no-such-rule")
    assert code == 1
    assert "use one of" in err
    assert not qc.simulator.counts()["requests"]


async def test_what_cannot_be_compared_is_refused_with_how_to_write_it(qc: Shell, home: Path) -> None:
    code, _, err = await qc("compare", "1/abcd")
    assert code == 2
    assert "2 to 20" in err
    (home / "a.json").write_text("{}", encoding="utf-8")
    (home / "b.json").write_text("no json", encoding="utf-8")
    code, _, err = await qc("compare", "a.json", "b.json")
    assert code == 2
    assert "b.json" in err
    code, _, err = await qc("compare", "a.json", "1/abcd")
    assert code == 1
    assert "a.json" in err
    code, _, err = await qc("backtest-result", "1")
    assert code == 2
    assert "PROJECT/BACKTEST" in err
