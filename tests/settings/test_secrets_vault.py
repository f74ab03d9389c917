"""Secrets: the environment first, then a file that notices every tampering; and nobody ever prints a value."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bot.secrets import MasterKey, Secret, SecretError, Secrets, Vault, mask

CANARY = "CANARY-0123456789-abcd"
RAW = base64.b64encode(bytes(range(32))).decode()
N = 2**14


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"ARBITER_KEY_FILE": str(tmp_path / "elsewhere" / "master.key")}


def _vault(tmp_path: Path, key: str = RAW) -> Vault:
    master = MasterKey.find({"ARBITER_MASTER_KEY": key})
    assert master is not None
    return Vault(tmp_path / "secrets.json", master, scrypt_n=N)


@pytest.mark.parametrize("key", [RAW, "a passphrase of some length"])
def test_what_is_set_comes_back_in_another_process_and_is_not_in_the_file(tmp_path: Path, key: str) -> None:
    _vault(tmp_path, key).set("BINANCE_API_KEY", CANARY)
    assert _vault(tmp_path, key).get("BINANCE_API_KEY") == CANARY
    text = (tmp_path / "secrets.json").read_text()
    assert CANARY not in text
    assert base64.b64encode(CANARY.encode()).decode() not in text


def test_the_file_and_the_key_are_readable_by_their_owner_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    secrets = Secrets(tmp_path / "data", environ)
    secrets.vault().set("A_KEY", CANARY)
    for path in (secrets.path, Path(environ["ARBITER_KEY_FILE"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("which", ["secrets.json", "key"])
def test_a_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, environ: dict[str, str], which: str) -> None:
    secrets = Secrets(tmp_path, environ)
    secrets.vault().set("A_KEY", CANARY)
    path = secrets.path if which == "secrets.json" else Path(environ["ARBITER_KEY_FILE"])
    path.chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        Secrets(tmp_path, environ).get("A_KEY")


def test_swapped_entries_are_noticed(tmp_path: Path) -> None:
    vault = _vault(tmp_path)
    vault.set("ONE_KEY", "value-one-0001")
    vault.set("TWO_KEY", "value-two-0002")
    path = tmp_path / "secrets.json"
    stored = json.loads(path.read_text())
    stored["secrets"]["ONE_KEY"], stored["secrets"]["TWO_KEY"] = stored["secrets"]["TWO_KEY"], stored["secrets"]["ONE_KEY"]
    path.write_text(json.dumps(stored))
    with pytest.raises(SecretError, match="ONE_KEY was changed or swapped; set it again") as caught:
        _vault(tmp_path).get("ONE_KEY")
    assert "value-" not in str(caught.value)


@pytest.mark.parametrize(("first", "second"), [(RAW, base64.b64encode(bytes(32)).decode()), ("passphrase one", "passphrase two")])
def test_a_wrong_key_is_one_clear_line(tmp_path: Path, first: str, second: str) -> None:
    _vault(tmp_path, first).set("A_KEY", CANARY)
    with pytest.raises(SecretError, match="sealed with another key than that of ARBITER_MASTER_KEY") as caught:
        _vault(tmp_path, second)
    assert "\n" not in str(caught.value)
    assert second not in str(caught.value)


@pytest.mark.parametrize(("first", "second"), [(RAW, "passphrase"), ("passphrase", RAW)])
def test_a_key_of_the_wrong_kind_says_which_kind_is_needed(tmp_path: Path, first: str, second: str) -> None:
    _vault(tmp_path, first)._write({})
    with pytest.raises(SecretError, match="were sealed with a"):
        _vault(tmp_path, second)


def test_a_lost_key_file_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    Secrets(tmp_path, environ).vault().set("A_KEY", CANARY)
    Path(environ["ARBITER_KEY_FILE"]).unlink()
    needed = r"needs its key: set ARBITER_MASTER_KEY, or restore .*master\.key"
    with pytest.raises(SecretError, match=needed):
        Secrets(tmp_path, environ).get("A_KEY")
    with pytest.raises(SecretError, match=needed):
        Secrets(tmp_path, environ).vault()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "damaged or not ours"),
        ("[]", "damaged or not ours"),
        ('{"version": 1}', "damaged or not ours"),
        ('{"version": 9}', "has version 9"),
    ],
)
def test_a_damaged_or_newer_file_is_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SecretError, match=match):
        _vault(tmp_path)


def test_scrypt_parameters_that_cost_nothing_or_everything_are_refused(tmp_path: Path) -> None:
    _vault(tmp_path, "passphrase").set("A_KEY", CANARY)
    path = tmp_path / "secrets.json"
    stored = json.loads(path.read_text())
    stored["kdf"]["n"] = 2
    path.write_text(json.dumps(stored))
    with pytest.raises(SecretError, match="damaged"):
        _vault(tmp_path, "passphrase")


def test_the_environment_comes_first_and_the_file_second(tmp_path: Path, environ: dict[str, str]) -> None:
    Secrets(tmp_path, environ).vault().set("OPENAI_API_KEY", "from-the-file-1")
    plain = environ | {"OPENAI_API_KEY": "from-the-shell-1"}
    prefixed = plain | {"ARBITER_SECRET_OPENAI_API_KEY": "from-the-prefix-1"}
    for env, value in ((environ, "from-the-file-1"), (plain, "from-the-shell-1"), (prefixed, "from-the-prefix-1")):
        secret = Secrets(tmp_path, env).get("OPENAI_API_KEY")
        assert secret is not None
        assert secret.value == value
    assert Secrets(tmp_path, environ | {"MY_OWN": "x"}).get("MY_OWN") is None


def test_a_secret_prints_as_its_mask(tmp_path: Path, environ: dict[str, str]) -> None:
    secrets = Secrets(tmp_path, environ)
    secrets.vault().set("A_KEY", CANARY)
    secret = secrets.get("A_KEY")
    master = MasterKey.find({"ARBITER_MASTER_KEY": CANARY})
    shown = f"{secret} {secret!r} {secrets.listed()} {master!r}"
    assert CANARY not in shown
    assert str(secret) == "••••abcd"
    assert mask("short") == "••••"


def test_values_for_the_redactor_are_all_of_them(tmp_path: Path, environ: dict[str, str]) -> None:
    env = environ | {"BINANCE_API_KEY": "from-the-shell-2", "ARBITER_MASTER_KEY": RAW}
    secrets = Secrets(tmp_path, env)
    secrets.vault().set("A_KEY", CANARY)
    assert set(secrets.values()) == {CANARY, "from-the-shell-2", RAW}


def test_a_removed_secret_is_gone(tmp_path: Path) -> None:
    vault = _vault(tmp_path)
    vault.set("A_KEY", CANARY)
    assert vault.remove("A_KEY")
    assert not vault.remove("A_KEY")
    assert list(_vault(tmp_path)) == []


def test_a_bad_name_is_refused_without_being_repeated(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="2 to 64 letters") as caught:
        _vault(tmp_path).set(f"{CANARY} oops", "x")
    assert CANARY not in str(caught.value)


def test_a_secret_has_no_equal_in_its_repr() -> None:
    assert "value" not in repr(Secret("A", CANARY, "test"))


@pytest.mark.parametrize("key", [RAW, "a passphrase of some length"])
def test_the_latest_value_is_what_another_process_wrote(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"ARBITER_MASTER_KEY": key}
    reader, stretched = Secrets(tmp_path, environ), 0
    assert reader.latest("A_KEY") is None
    writer = _vault(tmp_path, key)
    writer.set("A_KEY", "first")
    derive = MasterKey.derive

    def counted(self: MasterKey, kdf: Any) -> bytes:
        nonlocal stretched
        stretched += 1
        return derive(self, kdf)

    monkeypatch.setattr(MasterKey, "derive", counted)
    assert [found.value for _ in range(3) if (found := reader.latest("A_KEY"))] == ["first"] * 3
    writer.set("A_KEY", "second")
    assert [found.value for _ in range(3) if (found := reader.latest("A_KEY"))] == ["second"] * 3
    writer.remove("A_KEY")
    assert reader.latest("A_KEY") is None
    reader.path.unlink()
    assert reader.latest("A_KEY") is None
    assert stretched == 1


def test_a_file_that_was_damaged_meanwhile_gives_no_value_of_before(tmp_path: Path) -> None:
    reader = Secrets(tmp_path, {"ARBITER_MASTER_KEY": RAW})
    _vault(tmp_path).set("A_KEY", "first")
    assert reader.latest("A_KEY") is not None
    whole = reader.path.read_text()
    reader.path.write_text("{")
    for _ in range(2):
        with pytest.raises(SecretError, match="damaged"):
            reader.latest("A_KEY")
    reader.path.write_text(whole)
    assert reader.latest("A_KEY") is not None
