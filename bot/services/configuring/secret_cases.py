"""Secrets, write-only: they come in and are sealed; what goes out is their names, where they come from and their masks."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ConfigDict, Field, SecretStr, field_validator

from bot import logs
from bot.runtime.jobs import Report, Result
from bot.secrets import WELL_KNOWN, SecretError, Secrets, check_name
from bot.services.configuring.history import Entry, history_of
from bot.services.configuring.turns import own_turn
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable

_MOST_BYTES = 4_096
_TOLD = "the running bot goes on with the keys that it began with; start it again for this one to be used"


class NoArgs(Arguments):
    """Nothing to say."""


class NameArgs(Arguments):
    """Which secret."""

    name: str = Field(min_length=2, max_length=64, description="such as BINANCE_API_KEY")
    author: str = Field("operator", min_length=1, max_length=60, description="who decides")

    @field_validator("name")
    @classmethod
    def _checked(cls, name: str) -> str:
        try:
            return check_name(name)
        except SecretError as error:
            raise ValueError(str(error)) from None


class ValueArgs(NameArgs):
    """The secret itself, which no message repeats."""

    model_config = ConfigDict(hide_input_in_errors=True)

    value: SecretStr = Field(description=f"at most {_MOST_BYTES} bytes, without control characters")

    @field_validator("value")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.strip():
            message = "it is empty"
            raise ValueError(message)
        if any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 or 0xD800 <= ord(sign) < 0xE000 for sign in text):
            message = "it holds control characters; give it on one line"
            raise ValueError(message)
        if len(text.encode()) > _MOST_BYTES:
            message = f"it is longer than {_MOST_BYTES} bytes"
            raise ValueError(message)
        return value


async def listed(ground: Ground, args: NoArgs, report: Report) -> Result:
    """Every secret that is set, masked, and the well-known ones that are not."""
    del args, report
    return await _masked(ground.secrets.anew())


async def _masked(secrets: Secrets) -> dict[str, object]:
    rows = await asyncio.to_thread(_of_vault, secrets.listed)
    there = {row.name for row in rows}
    told = [
        {
            "name": row.name,
            "set": True,
            "origin": row.origin,
            "masked": row.masked,
            "updated": row.updated,
            "known": row.name in WELL_KNOWN,
        }
        for row in rows
    ]
    told += [
        {"name": name, "set": False, "origin": None, "masked": None, "updated": None, "known": True}
        for name in WELL_KNOWN
        if name not in there
    ]
    return {"file": str(secrets.path), "secrets": sorted(told, key=lambda row: str(row["name"]))}


async def set_(ground: Ground, args: ValueArgs, report: Report) -> Result:
    """Seal a secret in the encrypted file."""
    del report
    secrets, value = ground.secrets.anew(), args.value.get_secret_value()
    _refuse_environment(secrets, args.name)
    logs.learn(value)
    await _kept(ground, secrets, args, "secret-set", lambda: secrets.vault().set(args.name, value))
    return {**await _masked(secrets), "acts": "after a restart", "told": _TOLD}


async def delete(ground: Ground, args: NameArgs, report: Report) -> Result:
    """Forget a secret of the encrypted file."""
    del report
    secrets = ground.secrets.anew()

    def remove() -> None:
        if not secrets.path.exists() or not secrets.vault().remove(args.name):
            _refuse_environment(secrets, args.name)
            message = f"{args.name} is not in {secrets.path}; config.secrets lists what is"
            raise SecretError(message)

    await _kept(ground, secrets, args, "secret-delete", remove)
    return {**await _masked(secrets), "acts": "after a restart", "told": _TOLD}


async def _kept(ground: Ground, secrets: Secrets, args: NameArgs, action: str, act: Any) -> None:
    """Do it in turn, and tell the history that it was done; of the value it only learns whether there is one."""
    history = await history_of(ground)
    async with own_turn(ground.loaded.settings.bot.data_dir):
        before = await asyncio.to_thread(_of_vault, lambda: secrets.path.exists() and args.name in secrets.vault())
        await asyncio.to_thread(_of_vault, act)
        entry = Entry(action, args.name, before, action == "secret-set")
        try:
            await history.keep(ground.now(), ground.run, args.author, "", [entry], _nothing)
        except StoreUnavailable as error:
            message = f"it is done, but the history does not know: {error}"
            raise UseCaseError(message) from error


def _nothing() -> None:
    """What was to be done is done."""


def _of_vault(work: Any) -> Any:
    """What the encrypted file allows; whatever it refuses is one line without a value."""
    try:
        return work()
    except SecretError as error:
        raise UseCaseError(str(error)) from None
    except OSError as error:
        message = f"the encrypted file cannot be used: {error.strerror or type(error).__name__}: {error.filename}"
        raise UseCaseError(message) from None


def _refuse_environment(secrets: Secrets, name: str) -> None:
    variable = secrets.variable(name)
    if variable is not None:
        message = (
            f"{name} is set by the environment variable {variable}, which goes before the encrypted file; unset it there first"
        )
        raise UseCaseError(message)


CASES: tuple[UseCase[Any], ...] = (
    UseCase("config.secrets", "Which secrets are set, masked.", NoArgs, listed, quick=True),
    UseCase("config.secret-set", "Seal a secret in the encrypted file.", ValueArgs, set_, quick=True),
    UseCase("config.secret-delete", "Forget a secret of the encrypted file.", NameArgs, delete, quick=True),
)
