"""What is shipped beside the code: the image, the services around it, their alerts. Read as their own tools read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bot.secrets import MASTER_KEY, WELL_KNOWN, Secrets
from bot.settings import load
from bot.web.security.binding import PASSWORD, refusal

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"


@dataclass(frozen=True)
class Instruction:
    """One line of a Dockerfile, joined where it was continued."""

    word: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, stage by stage; what comes before the first FROM is left out."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines()]
    found: list[list[Instruction]] = []
    for line in (line for line in lines if line and not line.startswith("#")):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(word, rest.strip()))
    return found


def the(stage: list[Instruction], word: str) -> str:
    (only,) = [each.rest for each in stage if each.word == word]
    return only


class StrictLoader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"{node.start_mark}: {twice} twice"
        return super().construct_mapping(node, deep)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((ROOT / "compose.yaml").read_text(), StrictLoader)
    return loaded


def test_the_image_runs_as_a_number_and_starts_without_a_shell() -> None:
    final = stages()[-1]
    user, group = the(final, "USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert json.loads(the(final, "ENTRYPOINT")) == ["python", "-m", "bot"]
    assert json.loads(the(final, "CMD")) == ["--paper"]
    assert the(final, "STOPSIGNAL") == "SIGTERM"
    assert json.loads(the(final, "VOLUME")) == ["/data"]
    words = [each.word for each in final]
    assert words.index("USER") < words.index("ENTRYPOINT")


def test_the_image_asks_the_bot_itself_how_it_is() -> None:
    options, _, command = the(stages()[-1], "HEALTHCHECK").partition("CMD")
    assert "--interval" in options
    assert "--start-period" in options
    assert json.loads(command)[:4] == ["python", "-m", "bot", "healthcheck"]


def test_the_final_image_builds_and_fetches_nothing() -> None:
    build, final = stages()
    assert any("--require-hashes" in each.rest for each in build), "the locked requirements, and no others"
    runs = " ".join(each.rest for each in final if each.word == "RUN")
    assert not re.search(r"\b(pip|apt-get|apk|curl|wget|gcc|make|git)\b", runs)
    assert all("--without-pip" in each.rest for each in build if "-m venv" in each.rest), (
        "the environment that is copied has no pip"
    )
    assert any("uninstall" in each.rest and "hatchling" in each.rest for each in build)


def test_what_the_image_copies_is_there_and_nothing_private_is_sent_to_the_builder() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is left out, but for what is named"
    let_through = {rule[1:] for rule in rules if rule.startswith("!")}
    for stage in stages():
        for copied in (each.rest.split() for each in stage if each.word == "COPY" and "--from" not in each.rest):
            for path in copied[:-1]:
                assert (ROOT / path).exists(), path
                assert any(path == each or path.startswith(f"{each}/") or each.startswith(path) for each in let_through), path
    for private in (".env", "config/.env", "config/bot.local.yaml"):
        assert any(fnmatch(private, rule.removeprefix("**/")) or fnmatch(private, rule) for rule in rules if rule != "*"), private


SERVICES = {
    "type": "object",
    "required": ["name", "services", "volumes"],
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["image", "restart", "healthcheck", "logging", "security_opt"],
                "additionalProperties": False,
                "properties": {
                    "build": {"const": "."},
                    "image": {"type": "string", "pattern": "^[a-z/]+:[a-z0-9.-]+$", "not": {"pattern": ":latest$"}},
                    "command": {"type": "array", "items": {"type": "string"}},
                    "restart": {"const": "unless-stopped"},
                    "read_only": {"type": "boolean"},
                    "tmpfs": {"type": "array", "items": {"type": "string"}},
                    "cap_drop": {"const": ["ALL"]},
                    "shm_size": {"type": "string"},
                    "security_opt": {"const": ["no-new-privileges:true"]},
                    "stop_grace_period": {"type": "string", "pattern": "^[0-9]+s$"},
                    "logging": {"type": "object", "required": ["driver", "options"]},
                    "environment": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                    "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"}},
                    "ports": {"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
                    "depends_on": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["condition"],
                            "properties": {"condition": {"enum": ["service_healthy", "service_started"]}},
                        },
                    },
                    "healthcheck": {
                        "type": "object",
                        "required": ["test", "interval", "timeout", "retries"],
                        "additionalProperties": False,
                        "properties": {
                            "test": {"type": "array", "prefixItems": [{"const": "CMD"}], "items": {"type": "string"}},
                            "retries": {"type": "integer"},
                            "interval": {"type": "string"},
                            "timeout": {"type": "string"},
                            "start_period": {"type": "string"},
                        },
                    },
                },
            },
        },
    },
}


def test_the_services_are_described_strictly() -> None:
    described = compose()
    jsonschema.validate(described, SERVICES)
    services = described["services"]
    assert set(services) == {"bot", "redis", "postgres", "prometheus"}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in described["volumes"] or (ROOT / source).exists(), volume
    assert services["bot"]["healthcheck"]["test"][1:5] == ["python", "-m", "bot", "healthcheck"]


def test_secrets_come_from_the_environment_alone() -> None:
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if key == PASSWORD:
                assert value == "${WEB_PASSWORD:?set it in .env}", f"{name}: without {key} nothing must start"
            elif key in {*WELL_KNOWN, MASTER_KEY}:
                assert value is None, f"{name}: {key} must be handed through, not written down"
            elif "PASSWORD" in key or "PASSWORD" in (value or ""):
                assert "${POSTGRES_PASSWORD:?" in value, f"{name}: {key} must be asked for"


def test_the_bot_understands_what_its_container_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A setting that was renamed would be an error at the first start, in somebody's container."""
    for key, value in compose()["services"]["bot"]["environment"].items():
        if value is not None:
            monkeypatch.setenv(key, re.sub(r"\$\{(\w+):\?[^}]*\}", "longsecret", value))
    settings = load(ROOT / "config").settings
    assert settings.database_url == "postgresql://arbiter:longsecret@postgres:5432/arbiter"
    assert settings.redis.url == "redis://redis:6379/0"
    assert (settings.metrics.host, settings.metrics.allow_remote) == ("0.0.0.0", True)
    assert [port.rpartition(":")[2] for port in compose()["services"]["bot"]["ports"]] == [
        str(settings.metrics.port),
        str(settings.web.port),
    ]
    assert settings.web.host == "0.0.0.0"
    assert refusal(settings.web.host, Secrets(tmp_path)) is None, "the password that compose asks for lets it be reached"
    monkeypatch.delenv(PASSWORD)
    assert refusal(settings.web.host, Secrets(tmp_path)) is not None


@pytest.mark.parametrize(("file", "target"), [("prometheus.yml", "127.0.0.1:9464"), ("compose.yml", "bot:9464")])
def test_prometheus_asks_the_bot_and_reads_its_rules(file: str, target: str) -> None:
    config = yaml.load((PROMETHEUS / file).read_text(), StrictLoader)
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "arbiter", "the alert BotDown names the job"
    assert job["static_configs"] == [{"targets": [target]}]
    assert [(PROMETHEUS / rules).is_file() for rules in config["rule_files"]] == [True]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine")
@pytest.mark.parametrize("file", ["prometheus.yml", "compose.yml"])
def test_promtool_finds_no_fault(file: str) -> None:
    found = subprocess.run(
        ["promtool", "check", "config", file], cwd=PROMETHEUS, capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
