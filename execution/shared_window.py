"""The window of a venue's weights in Redis, which all bots on one address take from: one script, so that each step is atomic.

A bot takes weight as leases. A lease counts as used from when it is granted until a window after it was handed back or lapsed:
whatever a bot that crashed has sent is counted, and nothing is counted for ever. Weights are whole thousandths on the server,
times are ms by its clock, and the answer to every call says how the window stands.

Who gets what: an equal share for each bot that has been heard of lately. What a bot leaves unused of its share others may borrow,
but for a reserve, so that an idle bot always finds some room at once; and whoever is above its share gives way while one below it
waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.core.values import value

if TYPE_CHECKING:
    from redis.asyncio import Redis

_THOUSANDTHS = 1_000

_SCRIPT = """
local members, used, leases, expiry, wants, penalty, sequence = unpack(KEYS)
local me = ARGV[1]
local window, lease, ttl, patience = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local capacity, reserve, share = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local least, wanted = tonumber(ARGV[9]), tonumber(ARGV[10])
local barred, observed = tonumber(ARGV[11]), tonumber(ARGV[12])
local alone, reported, cap = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function take(owner, weight, until_)
  local id = owner .. ':' .. redis.call('INCR', sequence)
  redis.call('HSET', leases, id, weight)
  redis.call('ZADD', expiry, until_, id)
  redis.call('HINCRBY', used, owner, weight)
  return id
end

local function give(owner, id, weight)
  if redis.call('HINCRBY', used, owner, 0 - weight) <= 0 then redis.call('HDEL', used, owner) end
  if redis.call('HINCRBY', leases, id, 0 - weight) <= 0 then
    redis.call('HDEL', leases, id)
    redis.call('ZREM', expiry, id)
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now)) do
  give(string.match(id, '^(.*):%d+$'), id, tonumber(redis.call('HGET', leases, id)))
end
for at = 16, #ARGV, 2 do
  if redis.call('HEXISTS', leases, ARGV[at]) == 1 then
    redis.call('ZADD', expiry, now + window, ARGV[at])
    give(me, ARGV[at], tonumber(ARGV[at + 1]))
  end
end

redis.call('ZREMRANGEBYSCORE', members, '-inf', now)
redis.call('ZREMRANGEBYSCORE', wants, '-inf', now)
if ttl > 0 then redis.call('ZADD', members, now + ttl, me) else redis.call('ZREM', members, me) end
local live = math.max(1, redis.call('ZCARD', members))
local fair = math.floor(capacity / live)

local own = tonumber(redis.call('HGET', used, me) or '0')
local untold = math.max(alone, reported - own)
if untold > 0 then
  take(me, untold, now + window)
  own = own + untold
end
local total = 0
for _, weight in ipairs(redis.call('HVALS', used)) do total = total + tonumber(weight) end
local corrected = 0
if observed > total then
  take('*venue', observed - total, now + window)
  total, corrected = observed, 1
end

local left = math.max(0, redis.call('PTTL', penalty))
if barred > left then
  redis.call('SET', penalty, 1, 'PX', barred)
  left = barred
end

local granted, id = 0, ''
if wanted > 0 and left == 0 then
  local kept, starving = 0, 0
  for _, other in ipairs(redis.call('ZRANGE', members, 0, -1)) do
    if other ~= me then
      kept = kept + math.max(0, math.floor(fair * reserve * share) - tonumber(redis.call('HGET', used, other) or '0'))
      if redis.call('ZSCORE', wants, other) then starving = 1 end
    end
  end
  local room = math.min(math.floor(capacity * share) - total - kept, cap - own)
  if starving == 1 then room = math.min(room, fair - own) end
  granted = math.min(wanted, room)
  if granted >= math.max(1, least) then
    redis.call('ZREM', wants, me)
    id = take(me, granted, now + lease + window)
    total = total + granted
  else
    granted = 0
    if own + least <= fair then redis.call('ZADD', wants, now + patience, me) end
  end
end

local keep = window + lease + 60000
for _, key in ipairs({members, used, leases, expiry, wants, sequence}) do redis.call('PEXPIRE', key, keep) end
return {granted, id, live, total, left, corrected}
"""


@value
class Sharing:
    """How a window is shared. `reserve` is the fraction of an idle bot's share that others may not borrow; times are ms.

    A bot not heard of for `member_ms` has no share; a lease not handed back lapses after `lease_ms`; a bot is heard of every
    `beat_ms`, which is also how late a penalty of another's may be heard; what was denied is asked for again after `denied_ms`.
    `timeout` is in seconds, for any answer of Redis. `first_share` is the fraction of the capacity a bot keeps to that has never
    heard how many share it. A lease holds about `chunk` of a fair share more than was asked for.
    """

    reserve: float = 0.5
    member_ms: int = 3_000
    lease_ms: int = 1_000
    beat_ms: int = 200
    denied_ms: int = 50
    timeout: float = 0.5
    first_share: float = 0.5
    chunk: float = 0.02


@value
class Ask:
    """What a bot says to the window. `share` is the fraction of the window that its lane may fill.

    At least `least` and up to `wanted` is asked for, or nothing; never so much that the bot uses more than `cap`. `handed_back`
    are leases with what was not used of them. `barred` is how long the venue wants nothing; `observed` what the venue counted;
    `alone` what the bot used while it could not ask, `reported` all it used in the last window.
    """

    share: float = 1.0
    least: float = 0.0
    wanted: float = 0.0
    handed_back: Sequence[tuple[str, float]] = ()
    barred: int = 0
    observed: float = 0.0
    alone: float = 0.0
    reported: float = 0.0
    cap: float | None = None
    leaving: bool = False


@value
class Answer:
    """How the window stands: what was granted under which id, who shares it, what is used of it, how long nobody may."""

    granted: float
    lease: str
    members: int
    total: float
    barred: int
    corrected: bool


class SharedWindow:
    """One window on one server, as one member sees it."""

    def __init__(self, client: Redis, prefix: str, member: str, window_ms: int, capacity: float, sharing: Sharing) -> None:
        names = ("members", "used", "leases", "expiry", "wants", "penalty", "sequence")
        self._keys = [f"{{{prefix}}}:{name}" for name in names]  # the braces keep them together on a cluster
        self._member = member
        self._sharing = sharing
        self._head = [window_ms, sharing.lease_ms]
        self._capacity = _whole(capacity)
        self._script = client.register_script(_SCRIPT)

    async def exchange(self, ask: Ask) -> Answer:
        """Say and hear everything in one step. Raises what the client library raises."""
        sharing = self._sharing
        ttl = 0 if ask.leaving else sharing.member_ms
        arguments: list[str | int | float] = [self._member, *self._head, ttl, 2 * sharing.denied_ms + sharing.beat_ms]
        arguments += [self._capacity, sharing.reserve, ask.share, _whole(ask.least), _whole(ask.wanted)]
        arguments += [ask.barred, _whole(ask.observed), _whole(ask.alone), _whole(ask.reported)]
        arguments.append(self._capacity if ask.cap is None else _whole(ask.cap))
        for lease, unused in ask.handed_back:
            arguments += [lease, int(unused * _THOUSANDTHS)]
        granted, lease, members, total, barred, corrected = await self._script(keys=self._keys, args=arguments)
        named = lease.decode() if isinstance(lease, bytes) else str(lease)
        return Answer(granted / _THOUSANDTHS, named, members, total / _THOUSANDTHS, barred, bool(corrected))


def _whole(weight: float) -> int:
    """In thousandths, rounded up."""
    return -int(-weight * _THOUSANDTHS // 1)
