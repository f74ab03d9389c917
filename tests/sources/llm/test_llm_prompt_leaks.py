"""No key, token or account goes into a prompt or stays in a record."""

from __future__ import annotations

import json

import pytest

from bot.logs import Redactor
from sources.llm.leaks import Guard, redact_keys
from sources.llm.prompts.example import TERMS, example_snapshot
from sources.llm.prompts.files import shipped
from sources.llm.prompts.template import PromptLeak, parse
from tests.sources.llm.llm_asks import SCHEMA

_KEYS = {
    "openai": "sk-proj-abcdefGHIJKL0123456789",
    "letters only": "sk-secretsecretsecretsecret",
    "anthropic": "sk-ant-api03-abcdefghijklmnop-QRSTUV",
    "grok": "xai-abcdefghijklmnopqrstuv",
    "google": "AIza" + "Sy0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV",
    "amazon": "AKIA" + "ABCDEFGHIJ234567",
    "venue": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "hexadecimal": "0123456789abcdef" * 4,
    "json web token": "eyJhbGciOiJIUzI1NiJ9eyJ.eyJzdWIiOiIxMjM0NTY3.abcdefghij",
    "bearer": "Bearer abcdefghijklmnop.qrst",
    "private key": "-----BEGIN EC PRIVATE KEY-----",
    "ethereum address": "0x52908400098527886E0F7030069857D2E4169EE7",
    "bitcoin address": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    "bech32 address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
}


@pytest.mark.parametrize("key", _KEYS.values(), ids=list(_KEYS))
def test_whatever_looks_like_a_key_is_found_and_starred_out(key: str) -> None:
    text = f'{{"note": "use {key}, please"}}'
    assert Guard().leaks(text)
    assert key not in redact_keys(text)
    assert Guard().redact(text).count("***") >= 1
    assert json.loads(Guard().redact(text))["note"].endswith(", please")


@pytest.mark.parametrize(
    "text",
    [
        "max_orders_per_minute and volume_ratio@15m are 0.00123456789012345678",
        "1700000000000 12345678901234567890123456789012345678901234567890",
        "internationalisation-and-the-unbearable-lightness-of-being",
        "https://example.org/2026/11/21/bitcoin-soars-past-100000-dollars",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Guard().leaks(text) == ()
    assert redact_keys(text) == text


def test_a_configured_secret_is_found_however_it_is_written() -> None:
    guard = Guard(['pass"word\u00e9', "short"])
    for text in ('x pass"word\u00e9 y', json.dumps('pass"word\u00e9'), json.dumps('pass"word\u00e9', ensure_ascii=False)):
        [leak] = guard.leaks(text)
        assert leak.kind == "configured secret"
        assert "word" not in guard.redact(text)
    assert guard.leaks("a short text") == ()  # below six characters nothing is a secret


def test_a_leak_says_what_and_where_and_never_what_it_says() -> None:
    [leak] = Guard(["hunter2hunter2"]).leaks("see hunter2hunter2")
    assert str(leak) == "configured secret at character 4"


def test_a_guard_also_redacts_what_another_one_knows() -> None:
    redactor = Redactor(["hunter2hunter2"])
    guard = Guard(["swordfish"], redactor.text)
    redactor.add("learnt-later")
    assert guard.redact("hunter2hunter2 swordfish learnt-later " + _KEYS["openai"]) == "*** *** *** ***"


def test_a_prompt_with_a_secret_is_not_sent() -> None:
    prompt = shipped().render(example_snapshot(), TERMS)
    prompt.check(Guard(["hunter2hunter2"]))
    with pytest.raises(PromptLeak, match=r"decide@\w+ has configured secret") as caught:
        prompt.check(Guard(["A pullback within"]))
    assert "pullback" not in str(caught.value)


def test_a_template_with_a_key_in_it_is_refused() -> None:
    system = "{{ schema }}{{ limits }} " + _KEYS["openai"]
    body = f"--- system ---\n{system}\n--- user ---\n{{{{ symbol }}}}{{{{ snapshot }}}}{{{{ untrusted }}}}"
    with pytest.raises(ValueError, match="no keys in prompts"):
        parse("mine", body)


def test_the_question_has_no_tools() -> None:
    ask = shipped().render(example_snapshot(), TERMS).ask(SCHEMA, every_s=900.0)
    assert ask.tools == ()
    assert ask.caching is not None
    assert (ask.caching.key, ask.caching.every_s) == (shipped().label, 900.0)
    assert [turn.text for turn in ask.messages] == [shipped().render(example_snapshot(), TERMS).user]
