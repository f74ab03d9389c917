"""What a template may be made of, and that none can take the bot's time, memory or secrets."""

from __future__ import annotations

from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.llm.prompts.example import TERMS, example_snapshot
from sources.llm.prompts.placeholders import PLACEHOLDERS, Kind, Terms, data, values
from sources.llm.prompts.syntax import FILTERS
from sources.llm.prompts.template import LONGEST_PROMPT, LONGEST_TEMPLATE, TemplateError, parse
from sources.llm.snapshot import take
from tests.sources.llm.llm_sights import a_sight, a_view

_SYSTEM = "{{ schema }} {{ limits }}"
_USER = "{{ symbol }} {{ snapshot }}"


def _body(system: str = "", user: str = "", end: str = "{{ untrusted }}\n") -> str:
    return f"A note.\n--- system ---\n{_SYSTEM}\n{system}\n--- user ---\n{_USER}\n{user}\n{end}"


def _faults(body: str) -> str:
    with pytest.raises(TemplateError) as caught:
        parse("mine", body)
    return "; ".join(caught.value.faults)


def test_a_template_has_a_note_that_is_not_sent_and_two_parts() -> None:
    made = parse("mine", _body("Be calm.", "Think."), 3).render(example_snapshot(), TERMS)
    assert made.system == f"{TERMS.schema} {TERMS.limits}\nBe calm."
    assert made.user.startswith("BTC/USDT {")
    assert "A note." not in made.text
    assert made.label == "mine@3"


def test_a_file_is_known_by_its_hash() -> None:
    one, other = parse("mine", _body()), parse("mine", _body("more"))
    assert one.label != other.label
    assert one.label == f"mine@{one.hash[:12]}"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("{{ balance }}", "is not a placeholder"),
        ("{% set a = 1 %}", "set is not allowed"),
        ("{% macro f() %}{% endmacro %}", "macro is not allowed"),
        ("{% include 'x' %}", "include is not allowed"),
        ("{% import 'x' as y %}", "import is not allowed"),
        ("{% extends 'x' %}", "extends is not allowed"),
        ("{% block b %}{% endblock %}", "block is not allowed"),
        ("{% filter upper %}x{% endfilter %}", "not allowed"),
        ("{% with a = 1 %}{% endwith %}", "with is not allowed"),
        ("{% call symbol() %}{% endcall %}", "not allowed"),
        ("{{ symbol() }}", "a call is not allowed"),
        ("{{ range(9) }}", "a call is not allowed"),
        ("{{ symbol.__class__ }}", ".__class__ is not allowed"),
        ("{{ symbol['x'] }}", "[...] is not allowed"),
        ("{{ timeframes[0] }}", "[...] is not allowed"),
        ("{{ 'a' * 1000000000 }}", "mul is not allowed"),
        ("{{ 9 ** 99 ** 99 }}", "pow is not allowed"),
        ("{{ 'a' ~ symbol }}", "concat is not allowed"),
        ("{{ -price }}", "neg is not allowed"),
        ("{{ {'a': 1} }}", "dict is not allowed"),
        ("{{ symbol|center(1000000000) }}", "|center is not allowed"),
        ("{{ symbol|attr('x') }}", "|attr is not allowed"),
        ("{{ price|round(1000000000, 'ceil') }}", "short constant"),
        ("{{ symbol|join('" + "x" * 12 + "') }}", "takes a list"),
        ("{{ timeframes|join(symbol) }}", "short constant"),
        ("{{ timeframes|join(attribute='x') }}", "plain arguments"),
        ("{% if price is divisibleby 3 %}{% endif %}", "is divisibleby"),
        ("{% for one in range(1000000000) %}x{% endfor %}", "a loop runs over one of"),
        ("{% for one in evidence %}x{% else %}{{ one }}{% endfor %}", "{{ one }} is not a placeholder"),
        ("{% for one in evidence %}x{% endfor %}{{ one }}", "{{ one }} is not a placeholder"),
        ("{% for one in symbol %}x{% endfor %}", "a loop runs over one of"),
        ("{% for one in snapshot %}x{% endfor %}", "a loop runs over one of"),
        ("{% for one in timeframes|upper %}x{% endfor %}", "a loop runs over one of"),
        ("{% for a, b in timeframes %}x{% endfor %}", "one variable"),
        ("{% for symbol in timeframes %}x{% endfor %}", "a name of its own"),
        ("{% for one in timeframes recursive %}x{% endfor %}", "recursive"),
        ("{% for one in timeframes %}{{ loop.cycle('a') }}{% endfor %}", "not allowed"),
        ("{% for one in timeframes %}{{ loop.previtem }}{% endfor %}", ".previtem is not allowed"),
        ("{% for a in evidence %}{% for b in evidence %}x{% endfor %}{% endfor %}", "steps"),
        ("{{ '" + "x" * 300 + "' }}", "a constant of 300 characters"),
        ("{{ snapshot|upper }}", "stands alone"),
        ("{% if 'buy' in snapshot %}{% endif %}", "stands alone"),
        ("{{ " + "9" * 5_000 + " }}", "cannot be read"),
        ("{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "cannot be read"),
        ("{{ " + "not " * 5_000 + "1 }}", "cannot be read"),
        ("{% if symbol %}" * 40 + "{% endif %}" * 40, "nested deeper"),
        ("{% if symbol %}", "line"),
        ("{{ symbol", "line"),
    ],
)
def test_what_is_not_named_is_not_allowed(what: str, says: str) -> None:
    assert says in _faults(_body(user=what))


def test_a_fault_names_the_line_of_the_whole_text() -> None:
    assert _faults(_body(user="a\nb\n{{ nothing }}")).startswith("line 9: ")
    assert _faults(_body(system="{{ nothing }}")).startswith("line 4: ")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = _faults(_body("{{ a }}", "{{ b }} {{ c|center }}"))
    assert all(word in told for word in ("{{ a }}", "{{ b }}", "|center"))


@pytest.mark.parametrize("name", [name for name, one in PLACEHOLDERS.items() if one.required])
def test_a_missing_required_placeholder_is_told(name: str) -> None:
    assert f"{{{{ {name} }}}}" in _faults(_body().replace(f"{{{{ {name} }}}}", ""))


@pytest.mark.parametrize("name", [name for name, one in PLACEHOLDERS.items() if not one.stable])
def test_what_changes_with_the_market_cannot_be_in_the_system_part(name: str) -> None:
    told = _faults(_body(system=f"{{{{ {name} }}}}"))
    assert "belongs to the user part" in told


@pytest.mark.parametrize(
    "body",
    ["Trade.", "--- user ---\nx\n--- system ---\ny", _body() + "\n--- user ---\n", _body().replace("--- system ---", "")],
)
def test_the_two_parts_are_marked_once_and_in_their_order(body: str) -> None:
    assert "--- user ---" in _faults(body)


def test_sizes_and_characters_are_bounded() -> None:
    assert str(LONGEST_TEMPLATE) in _faults(_body(user="x" * LONGEST_TEMPLATE))
    assert "no text" in _faults(_body(user="a\x00b"))
    assert "no text" in _faults(_body(user="a\ud800b"))
    with pytest.raises(TemplateError, match="its name"):
        parse("../escape", _body())


def test_the_longest_prompt_that_the_syntax_admits_stops_at_its_bound_and_soon() -> None:
    text = "x" * 40_000
    made = parse("mine", _body(user="{% for one in evidence %}" + text + "{% endfor %}"))
    began = thread_time()
    with pytest.raises(TemplateError, match=str(LONGEST_PROMPT)):
        made.render(example_snapshot(), TERMS)
    assert thread_time() - began < 1.0


def test_the_most_steps_that_the_syntax_admits_take_no_time() -> None:
    inner = "{% for c in actions %}{% if a == b %}{{ c }}{% endif %}{% endfor %}"
    loop = "{% for a in timeframes %}{% for b in timeframes %}" + inner + "{% endfor %}{% endfor %}"
    made = parse("mine", _body(user=loop))
    began = thread_time()
    made.render(example_snapshot(), TERMS)
    assert thread_time() - began < 1.0


def test_lists_are_written_with_commas_and_can_be_looped_over() -> None:
    one = "{{ loop.index }}:{{ one|upper }}{% if not loop.last %},{% endif %}"
    user = "{{ actions }}|{% for one in timeframes if one != '1h' %}" + one + "{% else %}none{% endfor %}|"
    made = parse("mine", _body(user=user + "{{ timeframes|length }}")).render(example_snapshot(), TERMS)
    assert "buy, sell, hold|1:5M,2:4H|3" in made.user


def test_lists_are_cut_at_the_length_that_the_steps_were_counted_with() -> None:
    many = tuple(f"a{number}" for number in range(1_000))
    given = values(example_snapshot(), Terms("s", "l", many))
    assert given["actions"] == many[: PLACEHOLDERS["actions"].most]
    assert all(isinstance(given[name], tuple) == (one.kind is Kind.LIST) for name, one in PLACEHOLDERS.items())


def test_a_market_without_a_price_says_none() -> None:
    user = "{% if price is none %}no price{% else %}{{ price|round(2) }}{% endif %}"
    empty = take(a_sight(view=a_view([]), timeframes=()))
    assert "no price" in parse("mine", _body(user=user)).render(empty, TERMS).user
    assert "50000.0" in parse("mine", _body(user=user)).render(example_snapshot(), TERMS).user


def test_what_cannot_be_compared_is_a_fault_of_the_template() -> None:
    with pytest.raises(TemplateError, match="cannot be rendered"):
        parse("mine", _body(user="{% if symbol > 3 %}{% endif %}")).render(example_snapshot(), TERMS)


_PIECES = (
    *(f"{{{{ {name} }}}}" for name in PLACEHOLDERS),
    *(f"{{{{ {name}|{one} }}}}" for name in ("price", "symbol", "timeframes", "held") for one in sorted(FILTERS)),
    "{% if held == price or held > 1 %}a{% else %}b{% endif %}",
    "{% if actions > symbol %}a{% endif %}",
    "{% for one in evidence %}{{ one|first }}{{ loop.index }}",
    "{% for one in actions %}{{ one|round }}",
    "{% endfor %}",
    "{% if price is none %}",
    "{% endif %}",
    "{% raw %}",
    "{% endraw %}",
    "{{ 1e999 }}",
    "{{ (1, 'a')|last }}",
    "{{ []|first }}",
    "{#",
    "#}",
    "--- user ---",
    "%}",
)


@given(pieces=st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=8)), max_size=8))
@settings(max_examples=300, deadline=None)
def test_whatever_the_template_it_gives_a_prompt_or_its_faults(pieces: list[str]) -> None:
    try:
        made = parse("mine", _body(user="\n".join(pieces))).render(example_snapshot(), TERMS)
    except TemplateError:
        return
    assert made.user.endswith(data(example_snapshot().untrusted))


def test_the_same_template_gives_the_same_prompt_and_hash() -> None:
    made = parse("mine", _body())
    one, other = made.render(example_snapshot(), TERMS), made.render(example_snapshot(), TERMS)
    assert one == other
