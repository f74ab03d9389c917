"""The YAML of a QuantConnect source: read strictly, of the highest tier, with one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.decision import Tier
from sources.config import SourceConfig, SourceConfigError, read_yaml
from sources.means import Means
from sources.quantconnect.insights import Way
from sources.quantconnect.loading import lacks, quantconnect_params, quantconnect_source
from sources.quantconnect.settings import Credentials, QuantConnectParams

YAML = """\
# Opinions of QuantConnect's live algorithms.
source: quantconnect:momentum
kind: quantconnect
capital: 0.5
expiry: 1h
params:
  projects: [20010001]
  markets: [binance]
  symbols:
    binance:BTCUSDT: BTC/USDT
    "ETHUSDT 18N": ETH/USDT
  confidence: 0.5
  webhook: {enabled: true, port: 8790, auth: hmac}
  insights: {enabled: true, every: 1m}
  orders: {enabled: true, max_age: 15m}
  portfolio: {enabled: false}
  objects: {enabled: true, organization: abc, keys: [signals/latest.json]}
  backtest: {enabled: true, project: 20010002, every: 1h, days: 30}
"""


def read(tmp_path: Path, text: str) -> tuple[Path, SourceConfig]:
    file = tmp_path / "quantconnect.yaml"
    file.write_text(text)
    return file, SourceConfig.model_validate(read_yaml(file))


def test_the_configuration_makes_a_source_of_the_highest_tier(tmp_path: Path) -> None:
    file, config = read(tmp_path, YAML)
    params = quantconnect_params(file, config)
    source = quantconnect_source(config, params, ["BTC/USDT"], Credentials())
    assert source.spec.tier is Tier.QUANTCONNECT
    assert (source.spec.settle_ms, source.spec.hold_blocks) == (0, True)
    assert params.ways == (Way.WEBHOOK, Way.INSIGHTS, Way.ORDERS, Way.OBJECTS, Way.BACKTEST)
    assert [params.max_age_ms(way) for way in (Way.INSIGHTS, Way.ORDERS, Way.BACKTEST)] == [1_200_000, 900_000, 86_400_000]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("every: 1m", "evry: 1m", r"quantconnect.yaml: params.insights.evry = '1m': unknown key; did you mean every\?"),
        ("auth: hmac", "auth: none", "params.webhook.auth = 'none'"),
        ("confidence: 0.5", "confidence: 1.5", "params.confidence = '1.5'"),
        ("capital: 0.5", "tier: llm", "tier = 'llm': QuantConnect is the highest tier"),
        ("kind: quantconnect", "kind: dca", "write kind: quantconnect"),
        ("capital: 0.5", "adds: true", "QuantConnect sets targets"),
        ("projects: [20010001]", "projects: []\n  close_unheld: true", "need params.projects"),
        ("projects: [20010001]", "projects: [1, 2]\n  close_unheld: true", "give one project"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_key_and_remedy(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    file, config = read(tmp_path, YAML.replace(old, new))
    with pytest.raises(SourceConfigError, match=complaint) as caught:
        quantconnect_params(file, config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("routes", "who", "lacking"),
    [
        ("webhook, insights", Credentials("1", "t"), ""),
        ("webhook, insights", Credentials(webhook_secret="s" * 16), ""),
        ("webhook, insights", Credentials(), "its webhook needs a secret"),
        ("webhook", Credentials("1", "t"), "its webhook needs a secret"),
        ("insights", Credentials(webhook_secret="s" * 16), "nobody said who asks"),
    ],
)
def test_a_source_lacks_something_only_where_no_route_of_it_can_be_heard(routes: str, who: Credentials, lacking: str) -> None:
    on = {route: {"enabled": True} for route in routes.split(", ")}
    params = QuantConnectParams.model_validate({"projects": [1], **on})
    assert (lacks(params, Means(quantconnect=who)) or "").startswith(lacking)
    assert bool(lacks(params, Means(quantconnect=who))) == bool(lacking)


def test_credentials_are_not_shown() -> None:
    assert "token-of-mine" not in repr(Credentials("1", "token-of-mine", "token-of-mine"))
