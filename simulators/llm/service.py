"""The service itself: from an HTTP request to what is sent, by way of faults, gate, dialect and mind."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
import structlog
from aiohttp import web

from simulators.llm.catalogue import Catalogue, Model
from simulators.llm.composing import Composer
from simulators.llm.dialects import messages
from simulators.llm.dialects.speech import Speech, request_id_header, speech_of
from simulators.llm.faults import Fault, Mode, Switchboard
from simulators.llm.gate import Gate, Terms, key_in
from simulators.llm.mischief import overloaded, refusal_of
from simulators.llm.prompt import Dialect, Json, Prompt, Refusal, Row
from simulators.llm.records import Record, Records
from simulators.llm.reply import Reply, Stop
from simulators.llm.transport import Answer, Line, page

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[web.Request, bytes, Record, Fault | None], Answer]


class Service:
    """Answers requests of every dialect. `latency` is how many seconds any answer takes, `clock` gives seconds UTC."""

    def __init__(self, terms: Terms, seed: int, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self.faults, self.records, self.counts = Switchboard(seed), Records(), Counter[str]()
        self.latency, self.pause = terms.latency, terms.pause
        self.closing = asyncio.Event()
        self._catalogue, self._clock, self._seed = catalogue, clock, seed
        self._gate, self._composer = Gate(terms, clock), Composer(seed)

    def routes(self) -> list[web.RouteDef]:
        """Everything that costs money elsewhere; Gemini's compatible endpoint has a path of its own."""
        found = []
        for base in ("/v1", "/v1beta/openai"):
            found += [
                web.post(f"{base}/chat/completions", self._handler(Dialect.CHAT, self._answer)),
                web.get(f"{base}/models", self._handler(None, self._models)),
                web.get(f"{base}/models/{{name:.+}}", self._handler(None, self._models)),
            ]
        return [
            *found,
            web.post("/v1/responses", self._handler(Dialect.RESPONSES, self._answer)),
            web.post("/v1/messages", self._handler(Dialect.MESSAGES, self._answer)),
            web.post("/v1/messages/count_tokens", self._handler(Dialect.MESSAGES, self._count)),
        ]

    def _handler(self, dialect: Dialect | None, work: Work) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            spoken = dialect or (Dialect.MESSAGES if "anthropic-version" in request.headers else Dialect.RESPONSES)
            return await self._serve(request, spoken, work)

        return handle

    async def _serve(self, request: web.Request, dialect: Dialect, work: Work) -> web.StreamResponse:
        """Keep a record of the request until it has ended, one way or another."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            body = b""
        record = self.records.open(round(self._clock() * 1000), request.path, request.headers, body, key_in(request.headers))
        record.dialect, record.model = dialect.value, _model_of(body)
        name = f"{self._seed}-{record.number}".encode()
        record.request_id = f"req_{hashlib.sha256(name).hexdigest()[:24]}"
        ended = "left"  # unless it comes to an answer
        try:
            response, ended = await self._respond(request, dialect, body, record, work)
            return response
        finally:
            self.records.close(record, ended)

    async def _respond(
        self, request: web.Request, dialect: Dialect, body: bytes, record: Record, work: Work
    ) -> tuple[web.StreamResponse, str]:
        line = Line(request, self.closing, self.pause)
        fault = self.faults.strike(dialect, record.model, key_in(request.headers))
        record.fault = fault.mode.value if fault else ""
        if self.latency:
            await line.wait(self.latency)
        if fault and fault.mode in (Mode.HANG, Mode.SLOW):
            await line.wait(fault.pace)
        if self.closing.is_set() or (fault and fault.mode in (Mode.HANG, Mode.DROP)):
            return line.cut(), "dropped"
        answer = self._worked(request, dialect, body, record, fault, work)
        record.status = answer.status
        return await line.send(answer, fault)

    def _worked(
        self, request: web.Request, dialect: Dialect, body: bytes, record: Record, fault: Fault | None, work: Work
    ) -> Answer:
        """The answer, or the error in its place."""
        if fault and fault.mode in (Mode.HTML, Mode.HTML_OK):
            return page(502 if fault.mode is Mode.HTML else 200)
        try:
            if not body and request.method == "POST":
                raise Refusal(413 if request.content_length else 400, "Request exceeds the maximum size, or is empty.")
            refused = refusal_of(fault, dialect) if fault else None
            if refused is not None:
                raise refused
            return work(request, body, record, fault)
        except Refusal as refusal:
            return self._refused(refusal, dialect, record)
        except Exception:  # the boundary of the simulator: no request may end it
            self.counts["internal_errors"] += 1
            log.exception("internal_error", path=request.path)
            return self._refused(Refusal(500, "internal error of the simulator", "server_error"), dialect, record)

    def _refused(self, refusal: Refusal, dialect: Dialect, record: Record) -> Answer:
        named = {request_id_header(dialect): record.request_id}
        body = speech_of(dialect).error(refusal, record.request_id)
        return Answer(refusal.status, {**named, **refusal.headers}, [orjson.dumps(body)])

    def _answer(self, request: web.Request, body: bytes, record: Record, fault: Fault | None) -> Answer:
        dialect = Dialect(record.dialect)
        key, limits = self._gate.admit(request.headers, dialect)
        speech = speech_of(dialect)
        prompt, model = _read(lambda given: speech.read(given, self._catalogue, request.headers), body)
        reply = self._composer.reply(prompt, model, key, fault, record.number, int(self._clock()))
        usage = reply.usage
        record.stream = prompt.stream
        record.usage = {name: getattr(usage, name) for name in usage.__slots__}
        self._gate.spend(key, usage.input + usage.output)
        headers = {request_id_header(dialect): record.request_id, **limits}
        if prompt.stream:
            events = _events(speech, reply, prompt, model, fault, record.request_id)
            return Answer(200, {**headers, "Cache-Control": "no-cache"}, events, "text/event-stream", streams=True)
        whole = speech.write(reply, prompt, model)
        if reply.stop is Stop.FAILED and dialect is not Dialect.RESPONSES:
            whole = speech.error(overloaded(), record.request_id)
        return Answer(200, headers, [orjson.dumps(whole)])

    def _count(self, request: web.Request, body: bytes, record: Record, _: Fault | None) -> Answer:
        self._gate.known(request.headers)
        prompt, model = _read(lambda given: messages.read(given, self._catalogue, request.headers, counting=True), body)
        count = self._composer.count(prompt, model)
        return Answer(200, {"request-id": record.request_id}, [orjson.dumps({"input_tokens": count})])

    def _models(self, request: web.Request, _: bytes, record: Record, __: Fault | None) -> Answer:
        self._gate.known(request.headers)
        dialect = Dialect(record.dialect)
        claude = dialect is Dialect.MESSAGES
        row = _claude_row if claude else _openai_row
        headers = {request_id_header(dialect): record.request_id}
        name = request.match_info.get("name")
        if name is not None:
            found = self._catalogue.find(name)
            return Answer(200, headers, [orjson.dumps(row(found, name))])
        shown = [row(one, one.name) for one in self._catalogue.all() if not claude or dialect in one.dialects]
        more: Row = {"has_more": False, "first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if claude else {"object": "list"}
        return Answer(200, headers, [orjson.dumps({"data": shown, **more})])


def _read(read: Callable[[Json], tuple[Prompt, Model]], body: bytes) -> tuple[Prompt, Model]:
    """The prompt in a body; `Refusal` 400 when it is not JSON or not of the protocol's form."""
    try:
        given: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise Refusal(400, "We could not parse the JSON body of your request.")
    try:
        return read(given)
    except (AttributeError, TypeError, KeyError) as problem:
        raise Refusal(400, "The request has a value of the wrong type.") from problem


def _model_of(body: bytes) -> str:
    """The model asked for, where there is one, for faults and counts."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    name = given.get("model") if isinstance(given, dict) else None
    return name[:100] if isinstance(name, str) else ""


def _events(speech: Speech, reply: Reply, prompt: Prompt, model: Model, fault: Fault | None, request_id: str) -> Iterator[bytes]:
    """The stream; under a fault its first half and an error. A Response has a word of its own for having failed."""
    of_events = (Mode.ERROR_EVENT,) if prompt.dialect is Dialect.RESPONSES else (Mode.ERROR_EVENT, Mode.FAILED)
    if fault is None or fault.mode not in of_events:
        yield from speech.stream(reply, prompt, model)
        return
    events = list(speech.stream(reply, prompt, model))
    yield from events[: max(1, len(events) // 2)]
    yield speech.stream_error(overloaded(), request_id)


def _openai_row(model: Model, name: str) -> Row:
    return {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": model.owner}


def _claude_row(model: Model, name: str) -> Row:
    return {"id": name, "type": "model", "display_name": name.replace("-", " ").title(), "created_at": "2026-10-21T00:00:00Z"}
