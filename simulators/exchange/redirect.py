"""Production names that lead to the simulator: for contract tests of a client that is configured as if it were live.

`Redirect` resolves the hosts of the real venues to the simulator's TLS port and refuses every other name, so that such a test
cannot reach the network whatever it asks for. `Authority` is a certificate authority made for the moment and never installed
anywhere: only a client that is given its context trusts it.
"""

from __future__ import annotations

import datetime
import socket
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("api.binance.com", "stream.binance.com", "ws-api.binance.com", "www.okx.com", "ws.okx.com")
"""The hosts that unmodified clients of the two venues call for spot trading."""

_LIFE = datetime.timedelta(days=1)


class Refused(OSError):  # noqa: N818 - what the resolver does
    """The name is not one that leads to the simulator."""


class Redirect(AbstractResolver):
    """Resolves `hosts` to a port on loopback, and nothing else; `refused` lists the other names that were asked for."""

    def __init__(self, port: int, hosts: Sequence[str] = HOSTS) -> None:
        self._port = port
        self._hosts = frozenset(hosts)
        self.refused: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Loopback for a known host; `Refused` for another, whatever its port."""
        if host not in self._hosts:
            self.refused.append(host)
            message = f"{host}:{port} is not a host of the simulator; only {', '.join(sorted(self._hosts))} are"
            raise Refused(message)
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self._port, family=socket.AF_INET, proto=0, flags=flags)]

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority and one certificate, for `hosts`; PEM texts."""

    root: bytes
    chain: bytes
    key: bytes

    @classmethod
    def create(cls, hosts: Sequence[str] = HOSTS) -> Authority:
        """A new one, good for a day."""
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer = _name("Arbiter simulator, of this moment")
        root = _certificate(issuer, issuer, root_key.public_key(), authority=True).sign(root_key, hashes.SHA256())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        leaf = _certificate(_name(hosts[0]), issuer, key.public_key(), authority=False)
        signed = leaf.add_extension(names, critical=False).sign(root_key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return cls(root.public_bytes(pem), signed.public_bytes(pem), secret)

    def server_context(self) -> ssl.SSLContext:
        """For the simulator (`tls`)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:  # the standard library reads certificates from files only
            path = Path(folder, "server.pem")
            path.touch(0o600)
            path.write_bytes(self.key + self.chain)
            context.load_cert_chain(path)
        return context

    def client_context(self) -> ssl.SSLContext:
        """For a client: it trusts this authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.root.decode())
        return context


def redirected_session(authority: Authority, redirect: Redirect) -> aiohttp.ClientSession:
    """A session to pass to ccxt as `session`; whoever made it closes it, ccxt does not."""
    connector = aiohttp.TCPConnector(resolver=redirect, ssl=authority.client_context(), use_dns_cache=False)
    return aiohttp.ClientSession(connector=connector)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, authority: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
