"""Every source's file is read strictly, and what is wrong with it is said in one line with file, key, value and remedy."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bot.core.decision import OnExpiry, Tier
from bot.core.market import MarketView
from sources.base import RuleSource
from sources.config import SourceConfigError, read_yaml
from sources.loading import RULES, SERVICES, load_source, load_sources, source_schema
from sources.means import Means
from sources.quantconnect.settings import Credentials
from sources.recorded import RecordedSource
from sources.schedule import ScheduledSource
from tests.sources.source_factories import ROOT, candles, wave

MEANS = Means(Credentials("1", "token", "a secret of some length"))
SHIPPED = [ROOT / "config/sources", ROOT / "config/demo/sources"]
PLAIN = "source: rules:mine\nkind: sma-cross\n"


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SourceConfigError) as caught:
        load_source(write(folder, text))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder / "mine.yaml"))
    return message.removeprefix(str(folder / "mine.yaml"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.parent.name)
def test_the_shipped_sources_load(folder: Path) -> None:
    for loaded in load_sources(folder):
        step, live = loaded.step(["BTC/USDT"]), loaded.live(["BTC/USDT"], MEANS)
        assert step is not None or live is not None
        assert loaded.spec.name == loaded.config.source


def test_there_is_a_file_for_every_built_in_kind() -> None:
    assert {loaded.config.kind for loaded in load_sources(SHIPPED[0])} == {*RULES, *SERVICES}


@pytest.mark.parametrize(
    "file", [file for folder in SHIPPED for file in sorted(folder.glob("*.yaml"))], ids=lambda file: file.stem
)
def test_the_shipped_files_satisfy_the_published_schema(file: Path) -> None:
    jsonschema.validate(yaml.safe_load(file.read_text(encoding="utf-8")), source_schema())


def test_the_published_schema_refuses_an_unknown_key_at_every_depth() -> None:
    schema = source_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    base: dict[str, Any] = {"source": "rules:mine", "kind": "factors"}
    jsonschema.validate(base, schema)
    for wrong in ({"nope": 1}, {"params": {"nope": 1}}, {"params": {"weights": {"nope": 1}}}, {"protection": {"nope": 1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(base | wrong, schema)


def test_a_file_becomes_what_the_desk_must_know(tmp_path: Path) -> None:
    text = PLAIN + "symbols: [ETH/USDT]\ncapital: 0.1\nthreshold: 0.4\nsettle_ms: 10\nadds: true\n"
    text += "on_expiry: flatten\nenabled: false\nsizing: kelly\n"
    loaded = load_source(write(tmp_path, text))
    spec = loaded.spec
    assert (spec.name, spec.tier, spec.capital, spec.threshold) == ("rules:mine", Tier.TRADITIONAL, Decimal("0.1"), 0.4)
    assert (spec.settle_ms, spec.adds, spec.on_expiry, spec.paused, spec.sizing) == (10, True, OnExpiry.FLATTEN, True, "kelly")
    assert (spec.symbols, spec.hold_blocks) == (("ETH/USDT",), False)
    step = loaded.step(["BTC/USDT"])
    assert step is not None
    assert step.feeds == (("ETH/USDT", "1m"),)


@pytest.mark.parametrize(("expiry", "horizon"), [("7", 7 * 300_000), ("15m", 900_000), ("2h", 7_200_000)])
def test_expiry_is_a_number_of_candles_or_a_duration(tmp_path: Path, expiry: str, horizon: int) -> None:
    loaded = load_source(write(tmp_path, f"{PLAIN}timeframe: 5m\nexpiry: {expiry}\nparams: {{fast: 2, slow: 5, rsi: 2}}\n"))
    step = loaded.step(["BTC/USDT"])
    assert step is not None
    rows = list(candles(wave(200)))
    for row in rows:
        row.timeframe = "5m"
    made = [decision for row in rows if (decision := step.on_candle(row, MarketView()))]
    assert {decision.expires - decision.created for decision in made} == {horizon}


def test_quantconnect_blocks_by_hold_and_never_waits() -> None:
    specs = {loaded.spec.name: loaded.spec for loaded in load_sources(SHIPPED[1])}
    first, second = specs["quantconnect:momentum"], specs["llm:claude"]
    assert (first.tier, first.hold_blocks, first.settle_ms) == (Tier.QUANTCONNECT, True, 0)
    assert (second.tier, second.hold_blocks, second.settle_ms) == (Tier.LLM, False, 250)


def test_a_source_is_a_step_or_lives_by_itself_or_both() -> None:
    kinds = {
        loaded.config.kind: (type(loaded.step(["A/B"])), type(loaded.live(["A/B"])))
        for folder in SHIPPED
        for loaded in load_sources(folder)
    }
    assert kinds["sma-cross"] == (RuleSource, type(None))
    assert kinds["dca"] == (RuleSource, ScheduledSource)
    assert kinds["recorded"] == (type(None), RecordedSource)


FAULTS = [
    ("source: rules:mine\n", "give either kind, or path and class"),
    ("kind: sma-cross\n", ": source: missing; add it"),
    (PLAIN + "treshold: 1\n", ": treshold = '1': unknown key; did you mean threshold?"),
    (PLAIN + "zzz: 1\n", ": zzz = '1': unknown key; remove it, or use one of source, kind"),
    (PLAIN + "protection: {stop: 0.1}\n", ": protection.stop = '0.1': unknown key; did you mean stop_loss?"),
    (PLAIN + "protection: {stop_loss: -0.1}\n", ": protection.stop_loss = '-0.1': Input should be greater than 0"),
    (PLAIN + "protection: {stop_loss: .nan}\n", ": protection.stop_loss = 'nan': Input should be a finite number"),
    (PLAIN + "params: {fats: 3}\n", ": params.fats = '3': unknown key; did you mean fast?"),
    (PLAIN + "params: {fast: 0}\n", ": params.fast = '0': Input should be greater than or equal to 1"),
    (PLAIN + "params: {fast: 60}\n", "fast (60) and rsi (14) must be shorter than slow (50)"),
    (
        "source: rules:mine\nkind: factors\nparams: {weights: {trnd: 1}}\n",
        ": params.weights.trnd = '1': unknown key; did you mean trend?",
    ),
    (PLAIN + "timeframe: 5x\n", "'5x' is not a timeframe"),
    (PLAIN + "expiry: 0\n", ": expiry = '0': give a number of candles"),
    (PLAIN + "capital: 1.5\n", ": capital = '1.5': Input should be less than or equal to 1"),
    (PLAIN + "symbols: [BTCUSDT]\n", "'BTCUSDT' is not a unified symbol"),
    (PLAIN + "symbols: [A/B, A/B]\n", "listed twice"),
    (PLAIN + "tier: llm\n", ": tier = 'llm': a rule is traditional"),
    (PLAIN + "tier: gods\n", ": tier = 'gods': give one of quantconnect, llm, traditional"),
    (PLAIN.replace("rules:mine", "mine"), ": source = 'mine': String should match pattern"),
    (PLAIN.replace("sma-cross", "magic"), ": kind = 'magic': unknown; use one of sma-cross"),
    (PLAIN + "path: x.py\nclass: X\n", "give either kind, or path and class"),
    ("source: rules:mine\npath: x.py\n", "path and class go together"),
    ("source: rules:mine\npath: x.py\nclass: X\n", ": path = 'x.py': no such file"),
    ("source: rules:mine\nkind: recorded\n", ": params.file: missing; add it"),
    ("source: rules:mine\nkind: recorded\nparams: {file: none.jsonl}\n", "none.jsonl: cannot be read"),
    (PLAIN + "a: [1\n", "not valid YAML"),
    (PLAIN + "kind: macd\n", "said twice; say it once"),
    ("- 1\n", "must be a mapping"),
    ("", "must be a mapping"),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS, ids=[text.splitlines()[-1] if text else "empty" for text, _ in FAULTS])
def test_a_fault_is_one_line_with_file_key_value_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        load_source(write(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path))
    assert expected in message


def test_a_file_is_read_as_it_stands_and_what_a_reader_does_with_it_is_the_readers_own(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("source: rules:a\nparameters: {fast: 3}\n")
    read: dict[str, Any] = read_yaml(file)
    read["parameters"]["fast"] = 99
    assert read_yaml(file) == {"source": "rules:a", "parameters": {"fast": 3}}
    file.write_text("source: rules:a\nparameters: {fast: 4}\n")
    assert read_yaml(file) == {"source": "rules:a", "parameters": {"fast": 4}}


def test_a_second_fault_is_counted(tmp_path: Path) -> None:
    assert refusal(tmp_path, PLAIN + "aa: 1\nbb: 2\n").endswith("(1 more)")


def test_a_name_belongs_to_one_source(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, "a.yaml")
    write(tmp_path, PLAIN, "b.yaml")
    with pytest.raises(SourceConfigError, match=r"b\.yaml: source = 'rules:mine': a\.yaml has this name already"):
        load_sources(tmp_path)


def test_a_missing_directory_is_an_error_and_not_an_empty_answer(tmp_path: Path) -> None:
    with pytest.raises(SourceConfigError, match="no such directory"):
        load_sources(tmp_path / "nowhere")


def test_overrides_reach_one_source_or_all(tmp_path: Path) -> None:
    write(tmp_path, PLAIN + "params: {fast: 3}\n", "a.yaml")
    write(tmp_path, "source: rules:other\nkind: macd\n", "b.yaml")
    first, second = load_sources(tmp_path, {"*": {"timeframe": "1s"}, "rules:mine": {"params": {"slow": 40}}})
    assert (first.config.timeframe, second.config.timeframe) == ("1s", "1s")
    assert first.config.params == {"fast": 3, "slow": 40}


def test_an_override_of_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    with pytest.raises(SourceConfigError, match="no such source; known: rules:mine"):
        load_sources(tmp_path, {"rules:yours": {}})


RECORDED = "source: llm:a\nkind: recorded\nparams: {file: tape.jsonl}\n"


def tape(folder: Path, **change: object) -> None:
    line = {
        "offset_ms": 2_000,
        "source": "llm:a",
        "tier": "llm",
        "symbol": "A/B",
        "action": "buy",
        "confidence": 1,
        "horizon": "1s",
    }
    kept = {key: value for key, value in (line | change).items() if value is not None}
    (folder / "tape.jsonl").write_text(json.dumps(kept), encoding="utf-8")


def test_a_recording_must_have_lines_of_the_source_and_its_tier(tmp_path: Path) -> None:
    tape(tmp_path)
    assert load_source(write(tmp_path, RECORDED)).spec.tier is Tier.LLM
    assert "has no line of llm:b" in refusal(tmp_path, RECORDED.replace("llm:a", "llm:b"))
    assert "its lines in tape.jsonl say llm" in refusal(tmp_path, RECORDED + "tier: traditional\n")


def test_a_recording_repeats_only_after_its_last_line_and_only_by_offset(tmp_path: Path) -> None:
    tape(tmp_path)
    text = RECORDED.replace("}", ", repeat: 2s}")
    assert "the last line comes at 2000 ms; repeat after that" in refusal(tmp_path, text)
    tape(tmp_path, offset_ms=None, at=5)
    assert "only lines with offset_ms can repeat" in refusal(tmp_path, text)


def test_a_service_without_credentials_says_what_it_lacks() -> None:
    loaded = {each.config.source: each for each in load_sources(SHIPPED[1])}["quantconnect:momentum"]
    assert loaded.about == "quantconnect, insights"
    assert loaded.lacks(MEANS) is None
    assert "QUANTCONNECT_USER_ID" in str(loaded.lacks(Means(Credentials())))
    shipped = {each.config.source: each for each in load_sources(SHIPPED[0])}["quantconnect:main"]
    assert "QUANTCONNECT_WEBHOOK_SECRET" in str(shipped.lacks(Means(Credentials("1", "token"))))
    assert shipped.live(["BTC/USDT"]) is None, "without means nothing outside is asked"
