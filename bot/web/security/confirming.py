"""Two steps for what can hurt: the first says what would be done, the second repeats the request with the token of the first."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from bot.web.problems import Problem
from bot.web.security.forms import form_of
from bot.web.security.principal import Principal
from bot.web.security.standing import room_of

CONFIRMATION_HEADER = "Confirmation"
CONFIRMATION_FIELD = "confirmation"


async def require_confirmation(
    request: Request, principal: Principal, action: str, params: Mapping[str, object], text: str
) -> None:
    """Return once `action` with `params` was confirmed by this principal; else raise `Problem` 428.

    The problem holds `confirmation` (to be sent back as the header `Confirmation` or the form field `confirmation`), `expires`
    (ms UTC, 60 s ahead) and `text`: in plain words, what would be done. A confirmation is good once, and for nothing else; nor
    for another run of the bot, which may trade with other money.
    """
    room = room_of(request)
    pending, bound = room.access.pending, {"params": dict(params), "run": room.running}
    given = request.headers.get(CONFIRMATION_HEADER) or (await form_of(request)).get(CONFIRMATION_FIELD, "")
    if given and pending.redeem(given, principal.key, action, bound):
        return
    token, expires = pending.issue(principal.key, action, bound)
    detail = "this confirmation is over, used, or for something else; confirm what is asked now" if given else text
    raise Problem(428, "Please confirm", detail, confirmation=token, expires=expires, text=text, action=action)
