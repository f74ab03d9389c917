"""Prometheus and its promtool, for tests: of the machine, where it has them."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`; the test is skipped, and says so, where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"MISSING TOOL: {name} (Debian has it in the package prometheus)")
    return found


def promtool(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What promtool says."""
    return subprocess.run([tool("promtool"), *arguments], input=stdin, capture_output=True, timeout=30, check=False)
