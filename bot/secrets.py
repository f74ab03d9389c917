"""Secrets: from the environment first, else from an encrypted file; never printed, never logged, never an argument.

Every value in the file is sealed by itself with AES-256-GCM, its name as associated data, so that entries which were swapped or
renamed by hand are noticed. The key is `ARBITER_MASTER_KEY`: 32 bytes in base64, or a passphrase that scrypt stretches; else it
is read from a key file outside the data directory. A key file on the same disk protects backups and copies, not a stolen machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets as chance
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

WELL_KNOWN = (
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
    "OKX_API_KEY",
    "OKX_API_SECRET",
    "OKX_API_PASSPHRASE",
    "QUANTCONNECT_USER_ID",
    "QUANTCONNECT_API_TOKEN",
    "QUANTCONNECT_WEBHOOK_SECRET",
    "REDIS_COMMAND_SECRET",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "XAI_API_KEY",
    "WEB_PASSWORD",
)
VAULT_FILE = "secrets.json"
MASTER_KEY = "ARBITER_MASTER_KEY"
KEY_FILE = "ARBITER_KEY_FILE"
PREFIX = "ARBITER_SECRET_"
SCRYPT_N = 2**17
_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_VERSION = 1
_CHECK = "arbiter:check"


class SecretError(Exception):
    """Secrets cannot be used; the text is one line with the remedy, and never a value."""


def mask(value: str) -> str:
    """At most the last four characters, and those only of a value long enough to keep the rest secret."""
    return f"••••{value[-4:]}" if len(value) >= 12 else "••••"


def check_name(name: str) -> str:
    """The name in upper case, or `SecretError`."""
    upper = name.strip().upper()
    if not _NAME.fullmatch(upper):
        message = "a secret's name is 2 to 64 letters, digits and underscores, such as BINANCE_API_KEY"
        raise SecretError(message)
    return upper


@dataclass(frozen=True, slots=True)
class Secret:
    """A value and where it came from. Printing it shows its mask."""

    name: str
    value: str = field(repr=False)
    origin: str

    def __str__(self) -> str:
        """The mask."""
        return mask(self.value)


@dataclass(frozen=True, slots=True)
class Listed:
    """What may be shown of a secret. `updated` is milliseconds UTC, None for the environment."""

    name: str
    origin: str
    masked: str
    updated: int | None = None


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Box(_Stored):
    nonce: str
    sealed: str
    updated: int = 0


class _Kdf(_Stored):
    name: str = Field(pattern="^(scrypt|key)$")
    salt: str = ""
    n: int = Field(SCRYPT_N, ge=2**14, le=2**20)


class _File(_Stored):
    version: int
    kdf: _Kdf
    check: _Box
    secrets: dict[str, _Box]


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What opens the file: raw bytes, or a passphrase still to be stretched. `origin` names its place."""

    origin: str
    raw: bytes | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> MasterKey | None:
        """From `ARBITER_MASTER_KEY`, else from the key file, if it exists."""
        given = environ.get(MASTER_KEY)
        if given:
            raw = _raw_key(given)
            return cls(MASTER_KEY, raw) if raw else cls(MASTER_KEY, passphrase=given)
        path = key_path(environ)
        if not path.exists():
            return None
        _private(path)
        raw = _raw_key(path.read_text(encoding="ascii", errors="replace").strip())
        if raw is None:
            message = f"{path} does not hold a key of 32 bytes in base64; restore it, or set {MASTER_KEY}"
            raise SecretError(message)
        return cls(str(path), raw)

    @classmethod
    def create(cls, environ: Mapping[str, str]) -> MasterKey:
        """A new key in the key file, readable by its owner alone."""
        path, raw = key_path(environ), chance.token_bytes(32)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.urlsafe_b64encode(raw) + b"\n")
        return cls(str(path), raw)

    def derive(self, kdf: _Kdf) -> bytes:
        """The key of 32 bytes, by the file's own parameters."""
        if kdf.name == "key":
            if self.raw is None:
                message = f"the secrets were sealed with a key of 32 bytes, but {self.origin} holds a passphrase"
                raise SecretError(message)
            return self.raw
        if self.passphrase is None:
            message = f"the secrets were sealed with a passphrase; set {MASTER_KEY} to it"
            raise SecretError(message)
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415

        return Scrypt(salt=_bytes(kdf.salt), length=32, n=kdf.n, r=8, p=1).derive(self.passphrase.encode())


def key_path(environ: Mapping[str, str]) -> Path:
    """Where the key file is, or would be: outside the data directory."""
    given = environ.get(KEY_FILE)
    if given:
        return Path(given)
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "arbiter" / "master.key"


def _raw_key(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == 32 else None


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _private(path: Path) -> None:
    """Refuse a file that others can read."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        message = f"{path} can be read by others; say: chmod 600 {path}"
        raise SecretError(message)


class Vault:
    """The encrypted file, opened with its key. `SecretError` for a wrong key, a damaged file or one that others can read."""

    def __init__(self, path: Path, master: MasterKey, *, scrypt_n: int = SCRYPT_N) -> None:
        self.path = path
        self._master = master
        if path.exists():
            self._file = _read(path)
            self._key = master.derive(self._file.kdf)
            self._open(_CHECK, self._file.check)
        else:
            kdf = _Kdf(name="key") if master.raw else _Kdf(name="scrypt", salt=_text(chance.token_bytes(16)), n=scrypt_n)
            self._key = master.derive(kdf)
            self._file = _File(version=_VERSION, kdf=kdf, check=self._seal(_CHECK, "ok"), secrets={})

    @property
    def master_origin(self) -> str:
        """Where the key is."""
        return self._master.origin

    def __iter__(self) -> Iterator[str]:
        """Names, sorted."""
        return iter(sorted(self._file.secrets))

    def __contains__(self, name: object) -> bool:
        return name in self._file.secrets

    def get(self, name: str) -> str | None:
        """A value, or None if there is none; `SecretError` if its entry was tampered with."""
        box = self._file.secrets.get(name)
        return None if box is None else self._open(name, box)

    def updated(self, name: str) -> int:
        """When the value was set (ms UTC)."""
        return self._file.secrets[name].updated

    def set(self, name: str, value: str) -> None:
        """Store a value."""
        self._write({**self._file.secrets, check_name(name): self._seal(name, value)})

    def remove(self, name: str) -> bool:
        """Forget a value; whether there was one."""
        if name not in self._file.secrets:
            return False
        self._write({other: box for other, box in self._file.secrets.items() if other != name})
        return True

    def reread(self) -> None:
        """Take the file as it is now, or keep that of before where `SecretError` says that it is none.

        The key is stretched again only where the file asks for another.
        """
        before, file = (self._file, self._key), _read(self.path)
        self._key = self._key if file.kdf == self._file.kdf else self._master.derive(file.kdf)
        self._file = file
        try:
            self._open(_CHECK, file.check)
        except SecretError:
            self._file, self._key = before
            raise

    def _seal(self, name: str, value: str) -> _Box:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce = chance.token_bytes(12)
        sealed = AESGCM(self._key).encrypt(nonce, value.encode(), name.encode())
        return _Box(nonce=_text(nonce), sealed=_text(sealed), updated=time.time_ns() // 1_000_000)

    def _open(self, name: str, box: _Box) -> str:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            return AESGCM(self._key).decrypt(_bytes(box.nonce), _bytes(box.sealed), name.encode()).decode()
        except (InvalidTag, ValueError):
            if name == _CHECK:
                message = f"{self.path} was sealed with another key than that of {self._master.origin}; give the right one"
            else:
                message = f"{self.path}: the entry {name} was changed or swapped; set it again: python -m bot secrets set {name}"
        raise SecretError(message)

    def _write(self, secrets: dict[str, _Box]) -> None:
        """Replace the file whole, with mode 0600 from its first byte."""
        written = self._file.model_copy(update={"secrets": dict(sorted(secrets.items()))})
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(written.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        self._file = written


_Stamp = tuple[int, int, int]


def _stamp_of(path: Path) -> _Stamp | None:
    """What differs once the file was written: when it was changed (ns), which file it is, and its size."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read(path: Path) -> _File:
    _private(path)
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
        version = parsed.get("version") if isinstance(parsed, dict) else None
        if isinstance(version, int) and version > _VERSION:
            message = f"{path} has version {version}, this bot knows {_VERSION}; use a newer bot"
            raise SecretError(message)
        return _File.model_validate(parsed)
    except (OSError, ValueError, ValidationError):
        message = f"{path} is damaged or not ours; restore it from a backup, or delete it and set the secrets again"
    raise SecretError(message)


class Secrets:
    """Where the bot looks for a secret: `ARBITER_SECRET_NAME`, a well-known variable, then the encrypted file."""

    def __init__(self, data_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        self._path = data_dir / VAULT_FILE
        self._environ = os.environ if environ is None else environ
        self._vault: Vault | None = None
        self._stamp: _Stamp | None = None
        self._fault = ""

    @property
    def path(self) -> Path:
        """Where the encrypted file is, or would be."""
        return self._path

    def get(self, name: str) -> Secret | None:
        """The secret, None if it is nowhere; `SecretError` if the file cannot be opened."""
        found = self._from_environment(name)
        if found is not None:
            return found
        vault = self._opened()
        value = vault.get(name) if vault else None
        return None if value is None else Secret(name, value, str(self._path))

    def latest(self, name: str) -> Secret | None:
        """The same, of the file as it is now: another process may have written or removed it. Unchanged, it is not read again."""
        stamp = _stamp_of(self._path)
        if stamp != self._stamp:
            self._stamp, self._fault = stamp, ""
            try:
                if stamp is None:
                    self._vault = None
                elif self._vault is not None:
                    self._vault.reread()
            except SecretError as error:
                self._fault = str(error)
        if self._fault:
            raise SecretError(self._fault)
        return self.get(name)

    def listed(self) -> list[Listed]:
        """Every secret that is set, masked."""
        vault = self._opened()
        names = {*WELL_KNOWN, *(key.removeprefix(PREFIX) for key in self._environ if key.startswith(PREFIX)), *(vault or ())}
        rows: list[Listed] = []
        for name in sorted(names):
            secret = self.get(name)
            if secret is not None:
                stored = vault is not None and secret.origin == str(self._path)
                rows.append(Listed(name, secret.origin, str(secret), vault.updated(name) if vault and stored else None))
        return rows

    def values(self) -> tuple[str, ...]:
        """Every value, for the redactor of the logs, and the master key with them."""
        found = [secret.value for row in self.listed() if (secret := self.get(row.name)) is not None]
        return (*found, *(value for name in (MASTER_KEY,) if (value := self._environ.get(name))))

    def vault(self) -> Vault:
        """The encrypted file, to be written to; makes a key file if there is no key yet."""
        if self._vault is None:
            master = MasterKey.find(self._environ)
            if master is None and self._path.exists():
                raise SecretError(self._no_key())
            self._vault = Vault(self._path, master or MasterKey.create(self._environ))
        return self._vault

    def anew(self) -> Secrets:
        """The same place, to be read again: another process may have written the file meanwhile."""
        return Secrets(self._path.parent, self._environ)

    def variable(self, name: str) -> str | None:
        """The variable of the environment that sets this secret, None if none does."""
        found = self._from_environment(name)
        return None if found is None else found.origin.removeprefix("environment ")

    def _from_environment(self, name: str) -> Secret | None:
        for variable in (f"{PREFIX}{name}", name if name in WELL_KNOWN else ""):
            value = self._environ.get(variable) if variable else None
            if value:
                return Secret(name, value, f"environment {variable}")
        return None

    def _opened(self) -> Vault | None:
        if self._vault is None and self._path.exists():
            master = MasterKey.find(self._environ)
            if master is None:
                raise SecretError(self._no_key())
            self._vault = Vault(self._path, master)
        return self._vault

    def _no_key(self) -> str:
        return f"{self._path} needs its key: set {MASTER_KEY}, or restore {key_path(self._environ)}"
