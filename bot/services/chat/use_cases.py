"""What people do in chat: ask, confirm what was proposed, begin anew, read and search what was said.

An answer is told while it comes: of the progress, `done` counts the characters so far and `note` holds the last of them, so that
whoever missed a message still has every word.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from pydantic import Field

from bot.runtime.jobs import Progress, Report, Result
from bot.services.chat.desk import desk_of
from bot.services.chat.proposals import Proposal, State
from bot.services.chat.store import LARGEST_PAGE, ChatStore, Session, chats_of, chats_to_read, unknown_session
from bot.services.chat.talking import LONGEST_QUESTION, Answer, Assistant, Looking
from bot.services.llm.access import minds_of
from bot.services.use_case import Arguments, Ground, UseCase
from sources.llm.wording import plain

ANSWERING = "answering"
TOLD_AT_ONCE = 2_000
_MOST_SKIPPED = 100_000


class AskArgs(Arguments):
    """What is asked, and where."""

    question: str = Field(min_length=1, max_length=LONGEST_QUESTION)
    session: str | None = Field(None, max_length=40, description="a session's id; absent: a new one")


class NewArgs(Arguments):
    """Where to begin anew."""

    session: str | None = Field(None, max_length=40, description="begin a new thread of this session; absent: a new session")
    title: str = Field("", max_length=80)


class PageArgs(Arguments):
    """Which page."""

    limit: int = Field(20, ge=1, le=LARGEST_PAGE, description="rows")
    skip: int = Field(0, ge=0, le=_MOST_SKIPPED, description="rows to pass over")


class HistoryArgs(PageArgs):
    """Of which session."""

    session: str = Field(max_length=40)
    thread: int | None = Field(None, ge=1, description="only this thread")


class SearchArgs(PageArgs):
    """What is looked for."""

    words: str = Field(min_length=1, max_length=200, description="as they stand, in whatever case")
    session: str | None = Field(None, max_length=40, description="only in this session")


class ConfirmArgs(Arguments):
    """What is confirmed, and by what."""

    proposal: str = Field(max_length=40, description="its id")
    token: str = Field(max_length=80, description="what the person was told with the proposal")


async def ask(ground: Ground, args: AskArgs, report: Report) -> Result:
    """Ask the assistant; the answer is told as it comes."""
    store = await chats_of(ground)
    session = await _session(ground, store, args.session)
    assistant = Assistant(ground, await minds_of(ground), store, desk_of(ground))
    telling = _Telling(report)
    report(Progress("thinking", note=""))
    answer: Answer | None = None
    async with aclosing(assistant.ask(session, args.question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                answer = piece
            else:
                telling.hear(piece)
    assert answer is not None  # or it had raised
    return _told(await store.session(session.id), answer)


class _Telling:
    """Tells an answer as progress."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._length = 0
        self._tail = ""

    def hear(self, piece: str | Looking) -> None:
        """More of the answer, or a look-up."""
        if isinstance(piece, Looking):
            self._report(Progress(f"looking at {', '.join(piece.tools)}", self._length, None, self._tail))
            return
        self._length += len(piece)
        self._tail = (self._tail + piece)[-TOLD_AT_ONCE:]
        self._report(Progress(ANSWERING, self._length, None, self._tail))


async def confirm(ground: Ground, args: ConfirmArgs, report: Report) -> Result:
    """Carry out a proposal that a person confirms, once."""
    store = await chats_of(ground)
    claimed = await store.claim(args.proposal, args.token, ground.now())
    name, given = claimed.command
    report(Progress(f"telling the bot: {name}"))
    done = await desk_of(ground).command(name, given)
    outcome = "done" if done.ok else plain(done.error or "the bot did not say why", 300)
    await store.ended(claimed.id, State.DONE if done.ok else State.FAILED, ground.now(), outcome)
    return {
        "proposal": claimed.id,
        "rendered": claimed.rendered,
        "ok": done.ok,
        "outcome": outcome,
        "result": None if done.result is None else dict(done.result),
    }


async def new(ground: Ground, args: NewArgs, report: Report) -> Result:
    """Begin a session, or another thread of one."""
    del report  # it is over before anyone could look
    store = await chats_of(ground)
    if args.session is not None:
        await store.session(args.session)
        return {"session": (await store.new_thread(args.session, ground.now())).told()}
    return {"session": (await store.begin(ground.now(), ground.run, plain(args.title, 80))).told()}


async def sessions(ground: Ground, args: PageArgs, report: Report) -> Result:
    """List the sessions."""
    del report
    store = await chats_to_read(ground)
    if store is None:
        return {"sessions": []}
    return {"sessions": [each.told() for each in await store.sessions(args.limit, args.skip)]}


async def history(ground: Ground, args: HistoryArgs, report: Report) -> Result:
    """What was said in a session, and what was proposed."""
    del report
    store = await chats_to_read(ground)
    if store is None:
        raise unknown_session(args.session)
    session = await store.session(args.session)
    lines = await store.messages(session.id, args.limit, args.skip, args.thread)
    offered = await store.proposals(session.id, args.limit)
    return {
        "session": session.told(),
        "messages": [each.told() for each in lines],
        "proposals": [each.told() for each in offered],
    }


async def search(ground: Ground, args: SearchArgs, report: Report) -> Result:
    """Find messages by their words."""
    del report
    store = await chats_to_read(ground)
    if store is None:
        return {"messages": []}
    found = await store.search(args.words, args.limit, args.skip, args.session)
    return {"messages": [each.told() for each in found]}


async def _session(ground: Ground, store: ChatStore, name: str | None) -> Session:
    return await store.begin(ground.now(), ground.run) if name is None else await store.session(name)


def _told(session: Session, answer: Answer) -> Result:
    return {
        "session": session.told(),
        "message": answer.line.told(),
        "proposals": [_offered(each) for each in answer.proposals],
        "spent": str(answer.spent),
        "limit": str(answer.limit),
    }


def _offered(proposal: Proposal) -> dict[str, object]:
    """A proposal as the person gets it: with what confirms it."""
    return proposal.told() | {"token": proposal.token}


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase("chat.ask", "Ask the assistant about the portfolio, decisions, the market, analysis and costs.", AskArgs, ask),
    UseCase("chat.confirm", "Carry out a proposal of the assistant that a person confirms.", ConfirmArgs, confirm),
    UseCase("chat.new", "Begin a chat session, or another thread of one.", NewArgs, new, quick=True),
    UseCase("chat.sessions", "List the chat sessions.", PageArgs, sessions, quick=True, reads=True),
    UseCase("chat.history", "Read what was said and proposed in a chat session.", HistoryArgs, history, quick=True, reads=True),
    UseCase("chat.search", "Find chat messages by their words.", SearchArgs, search, quick=True, reads=True),
)
