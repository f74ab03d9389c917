"""A source that asks language models, from its configuration.

Importing this costs no SDK and no database: those come with the first source that is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bot.core.decision import Tier
from bot.core.market import timeframe_ms
from bot.core.protocols import LiveSource
from sources.base import Strict
from sources.config import SourceConfig, SourceConfigError, explain
from sources.llm.params import KIND, LlmParams
from sources.means import Means

if TYPE_CHECKING:
    from sources.llm.hooks import News, Veto, Weight
    from sources.llm.leaks import Guard
    from sources.llm.minds import Minds
    from sources.llm.models import Candidate
    from sources.llm.source import LlmSource

TIER = Tier.LLM
Params = LlmParams


def llm_params(file: Path, config: SourceConfig) -> LlmParams:
    """The `params` of a source of the kind `llm`; `SourceConfigError` if anything in them is wrong."""
    if config.kind != KIND:
        raise SourceConfigError(file, "kind", config.kind, f"this source asks no language model; write kind: {KIND}")
    if "tier" in config.model_fields_set and config.tier is not TIER:
        raise SourceConfigError(file, "tier", config.tier.label, "a language model is of its own tier; remove the key")
    if config.adds:
        raise SourceConfigError(
            file, "adds", config.adds, "a language model says what to hold, and repeats itself; remove the key"
        )
    if config.protection.stop_loss is not None or config.protection.take_profit is not None:
        raise SourceConfigError(
            file, "protection", None, "the model sets stop and target; keep `trailing`, and see params.bounds"
        )
    try:
        params = LlmParams.model_validate(config.params)
    except ValidationError as error:
        raise explain(error, file, LlmParams, "params") from error
    if params.timeframes and config.timeframe not in params.timeframes:
        raise SourceConfigError(
            file, "timeframe", config.timeframe, f"give one of params.timeframes: {', '.join(params.timeframes)}"
        )
    shown = timeframes(config, params)
    for name in params.gates.indicators:
        if name.partition("@")[2] not in shown:
            raise SourceConfigError(file, "params.gates.indicators", name, f"the snapshot shows {', '.join(shown)} alone")
    if timeframe_ms(params.bounds.shortest) > config.horizon:
        raise SourceConfigError(
            file, "params.bounds.shortest", params.bounds.shortest, "is longer than `expiry`; make it shorter"
        )
    return params


def read_params(file: Path, config: SourceConfig) -> Strict:
    """`llm_params`, as every service has it."""
    return llm_params(file, config)


def timeframes(config: SourceConfig, params: Strict) -> tuple[str, ...]:
    """The candles that the source must be given, in the order of its snapshots."""
    assert isinstance(params, LlmParams)
    return params.timeframes or (config.timeframe,)


def about(params: Strict) -> str:
    """Whom it asks, with what."""
    assert isinstance(params, LlmParams)
    asked = ", ".join(f"{one.provider}/{one.model}" for one in params.candidates) or "the candidates of llm.roles"
    together = f", {params.ensemble.members} at once" if params.ensemble.members > 1 else ""
    return f"{asked}{together}, prompt {params.template}"


def lacks(params: Strict, means: Means) -> str | None:
    """Nobody can be asked: every candidate lacks its key, or there are no language models in this run."""
    assert isinstance(params, LlmParams)
    minds = means.minds
    if minds is None:
        return "no language model can be asked in this run: give a key, such as ANTHROPIC_API_KEY"
    from sources.llm.asking import Role  # noqa: PLC0415 - only where there are minds already

    router = minds.router
    named = [one.provider for one in params.candidates] or [one.model.provider for one in router.candidates(Role.DECISION)]
    able = [name for name in named if name in minds.access.providers]
    if able:
        return None
    why = "; ".join(f"{name}: {minds.disabled.get(name, 'it is not in llm.providers')}" for name in dict.fromkeys(named))
    return why or "llm.roles.decision names nobody: add a candidate"


def llm_source(
    config: SourceConfig,
    params: LlmParams,
    traded: Sequence[str],
    minds: Minds | None,
    *,
    prompts: Path | None = None,
    guard: Guard | None = None,
    weight: Weight | None = None,
    news: News | None = None,
    veto: Veto | None = None,
) -> LlmSource:
    """The source, for a running bot.

    `traded` are the bot's symbols, used where the configuration names none; `prompts` is a folder of own templates, `guard` knows
    the secrets that no prompt may hold, `weight` what each model's word counts; for `news` and `veto` see `sources.llm.hooks`.
    """
    from sources.llm.considering import Considering  # noqa: PLC0415 - the database and the templates are heavy
    from sources.llm.past import Past  # noqa: PLC0415
    from sources.llm.source import LlmSource  # noqa: PLC0415
    from sources.llm.templates import Templates  # noqa: PLC0415
    from sources.llm.thinking import Thinker  # noqa: PLC0415
    from sources.llm.thoughts import Terms  # noqa: PLC0415

    spec = config.model_copy(update={"tier": TIER}).spec()
    symbols = config.symbols or tuple(traded)
    terms = Terms(spec, params, timeframes(config, params), config.horizon, config.protection.trailing)
    past = Past(spec.name)
    if minds is None:
        return LlmSource(terms, symbols, config.timeframe, None, None, past)
    templates = Templates(minds.prompts, minds.now, prompts)
    every_s = timeframe_ms(config.timeframe) / 1000
    thinker = Thinker(spec.name, params, minds, templates, _candidates(params), guard, every_s)
    considering = Considering(terms, thinker, past, weight=weight, news=news, veto=veto)
    return LlmSource(terms, symbols, config.timeframe, thinker, considering, past)


def _candidates(params: LlmParams) -> tuple[Candidate, ...]:
    """The source's own candidates, as the price table knows them."""
    if not params.candidates:
        return ()
    from sources.llm.models import Candidate  # noqa: PLC0415
    from sources.llm.opening import model_of  # noqa: PLC0415 - it knows every provider
    from sources.llm.prices import shipped  # noqa: PLC0415

    table = shipped()
    return tuple(
        Candidate(model_of(one, table), place if one.rank is None else one.rank, one.weight, one.effort)
        for place, one in enumerate(params.candidates)
    )


def life(config: SourceConfig, params: Strict, traded: Sequence[str], means: Means) -> LiveSource:
    """`llm_source`, as every service has it."""
    assert isinstance(params, LlmParams)
    return llm_source(
        config,
        params,
        traded,
        means.minds,
        prompts=means.prompts,
        guard=means.guard,
        weight=means.weight,
        news=means.news,
        veto=means.veto,
    )
