"""House rules as tests: what reviews would otherwise have to remember."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
MONEY = [
    "custody/core/money.py",
    "custody/ledger",
    "custody/billing",
    "custody/deposits",
    "custody/withdrawals",
    "custody/settlement",
    "router/allocate.py",
    "router/bounds.py",
    "router/integers.py",
    "router/moves.py",
    "router/pieces.py",
    "router/solver.py",
    "router/forecast.py",
    "router/outflows.py",
    "router/pool.py",
    "router/accrual.py",
    "router/claims.py",
    "router/exit_queue.py",
    "router/exits.py",
    "router/fees.py",
    "router/products.py",
    "router/recall.py",
    "router/reports.py",
    "router/shares.py",
    "router/sharing.py",
    "router/terms.py",
]


def tracked(*patterns: str) -> list[Path]:
    """Files of the project: tracked, or new and not ignored."""
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


def python_files(under: str) -> list[Path]:
    path = ROOT / under
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def floats_in(source: str) -> list[int]:
    """Lines with a float literal, a true division, or the name `float`."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        name = isinstance(node, ast.Name) and node.id == "float"
        division = isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div)
        if literal or name or division:
            lines.append(getattr(node, "lineno", 0))
    return lines


def test_no_float_on_a_path_that_ends_in_a_posting() -> None:
    """Property 6."""
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for under in MONEY
        for file in python_files(under)
        for line in floats_in(file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("source", ["x = 1.5", "x = a / b", "x = float(y)", "x /= 2"])
def test_the_float_rule_can_fail(source: str) -> None:
    assert floats_in(source)


def test_api_money_fields_are_not_floats() -> None:
    """Property 6: no field of a request or an answer is a float."""
    pattern = re.compile(r":\s*(?:float|Decimal)\b")
    found = [
        f"{file.relative_to(ROOT)}:{n}"
        for file in python_files("api/routes")
        for n, line in enumerate(file.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_only_settlement_broadcasts() -> None:
    allowed = {
        "chains/evm/broadcast.py",  # names the errors of the call
        "chains/evm/client.py",
        "custody/settlement/outbound.py",
    }
    found = {
        str(file.relative_to(ROOT))
        for room in ("api", "router", "custody", "chains")
        for file in python_files(room)
        if re.search(r"send_raw\(|eth_sendRawTransaction|eth_sendTransaction", file.read_text())
        and not str(file.relative_to(ROOT)).startswith("chains/devnet/")
    }
    assert found - allowed == set()


def test_init_files_are_empty() -> None:
    full = [
        str(file.relative_to(ROOT)) for file in tracked("*__init__.py") if file.read_text().strip()
    ]
    assert full == []


def test_no_third_party_solidity_or_bytecode() -> None:
    """Sources in git are ours; compiled code and chain state are built at set-up."""
    licence = re.compile(r"SPDX-License-Identifier: Apache-2\.0")
    foreign = [
        str(f.relative_to(ROOT)) for f in tracked("*.sol") if not licence.search(f.read_text())
    ]
    long_hex = re.compile(r"[0-9a-fA-F]{1500}")
    compiled = [
        str(f.relative_to(ROOT))
        for f in tracked("*.json", "*.py", "*.sol", "*.txt", "*.js")
        if long_hex.search(f.read_text(errors="ignore"))
    ]
    assert (foreign, compiled) == ([], [])


def test_no_registry_hosts_and_no_paths_of_a_machine() -> None:
    host = re.compile(r"https?://[A-Za-z0-9./_-]+\.(?:whl|tgz|tar\.gz)|registry\.npmjs|pypi\.org")
    path = re.compile(r"(?:^|[^A-Za-z0-9_.~-])/(?:home|root|Users)/[a-z.]")
    found = []
    for file in tracked():
        if file == Path(__file__):
            continue
        text = file.read_text(errors="ignore")
        if host.search(text) or path.search(text):
            found.append(str(file.relative_to(ROOT)))
    assert found == []


def test_locks_pin_by_hash() -> None:
    """Property 57 (its first part): every Python requirement has a hash, none an address."""
    for lock in ("requirements/base.txt", "requirements/dev.txt", "requirements/slither.txt"):
        text = (ROOT / lock).read_text()
        pins = re.findall(r"^[A-Za-z0-9_.\[\]-]+==", text, re.MULTILINE)
        assert pins
        assert len(re.findall(r"==[^\n]*\\\n\s+--hash=sha256:", text)) == len(pins), lock
        assert "://" not in text, lock


def test_no_sync_dependency_in_the_api() -> None:
    """A sync `def` dependency costs half a millisecond a request in a thread pool."""
    found = []
    for file in python_files("api"):
        tree = ast.parse(file.read_text())
        sync = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Depends"
                and node.args
                and isinstance(node.args[0], ast.Name)
                and node.args[0].id in sync
            ):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert found == []
