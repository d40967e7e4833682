"""`scripts/slither`: runs slither over our contracts and compares what it finds with the triage.

slither needs another web3 than we do, and its licence (AGPL) keeps it out of what we ship: it has
an environment of its own under .cache/slither, from its own lock, and is only ever run.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
TRIAGE = CONTRACTS / "slither-triage.toml"
LOCK = ROOT / "requirements" / "slither.txt"
CACHE = ROOT / ".cache" / "slither"
TIMEOUT_S = 300
WHY_MIN = 30
"""Characters. A shorter reason says that somebody was in a hurry."""


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """What slither found, told without lines, so that code above it may change.

    `where` is `Contract.function(types)`, `code` the expressions it is about.
    """

    check: str
    where: str
    code: str


class TriageError(ValueError):
    """The triage file is not what it has to be; the message says where."""


def read_triage(text: str) -> Counter[Finding]:
    """The findings that somebody has answered. Raises TriageError."""
    answered: Counter[Finding] = Counter()
    seen = set()
    for entry in tomllib.loads(text).get("answered", []):
        at = (entry.get("check"), entry.get("where"))
        if set(entry) != {"check", "where", "code", "why"} or not entry["code"]:
            raise TriageError(f"{at}: an entry has check, where, code and why")
        if len(" ".join(entry["why"].split())) < WHY_MIN:
            raise TriageError(f"{at}: why is too short to be a reason")
        if at in seen:
            raise TriageError(f"{at} is there twice")
        seen.add(at)
        answered.update(Finding(entry["check"], entry["where"], code) for code in entry["code"])
    return answered


def findings(report: Mapping[str, Any]) -> Counter[Finding]:
    """From slither's JSON. Raises RuntimeError if it did not get to its end."""
    if not report["success"]:
        raise RuntimeError(f"slither: {report['error']}")
    return Counter(_finding(result) for result in report["results"].get("detectors", []))


def _finding(result: Mapping[str, Any]) -> Finding:
    elements = result["elements"]
    if not elements:
        return Finding(result["check"], "", result["description"].strip())
    code = "; ".join(element["name"] for element in elements[1:])
    return Finding(result["check"], _where(elements[0]), code or elements[0]["name"])


def _where(element: Mapping[str, Any]) -> str:
    fields = element.get("type_specific_fields", {})
    own = fields.get("signature", element["name"])
    parent = fields.get("parent")
    return f"{_where(parent)}.{own}" if parent and parent["type"] == "contract" else str(own)


def compare(found: Counter[Finding], answered: Counter[Finding]) -> list[str]:
    """What is wrong, as text; nothing if each finding has its answer and each answer its finding."""
    new, stale = sorted((found - answered).elements()), sorted((answered - found).elements())
    said = [f"stale, no longer found: {f.check} in {f.where}: {f.code}" for f in stale]
    if new:
        said.append("not answered yet; repair it, or say in the triage why it is none:")
    return said + [_entry(check, where, new) for check, where in _places(new)]


def _places(new: Iterable[Finding]) -> list[tuple[str, str]]:
    return sorted({(finding.check, finding.where) for finding in new})


def _entry(check: str, where: str, new: Iterable[Finding]) -> str:
    """As it would stand in the triage. A JSON string is a TOML string."""
    code = [f.code for f in new if (f.check, f.where) == (check, where)]
    lines = ["[[answered]]", f"check = {json.dumps(check)}", f"where = {json.dumps(where)}"]
    return "\n".join(["", *lines, "code = [", *(f"  {json.dumps(c)}," for c in code), "]", 'why = ""'])


def set_up() -> Path:
    """The folder of slither's own Python; made anew when the lock changes."""
    home, stamp = CACHE / "venv", CACHE / "lock.sha256"
    key = f"{sys.version} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"
    if not stamp.exists() or stamp.read_text() != key:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        uv: list[str | Path] = [sys.executable, "-m", "uv", "--quiet", "--no-cache"]
        subprocess.run([*uv, "venv", "--python", sys.executable, home], check=True)
        install = [*uv, "pip", "install", "--python", home, "--require-hashes", "-r", LOCK]
        subprocess.run(install, check=True, stdout=sys.stderr)
        stamp.write_text(key)
    return home / "bin"


def build() -> None:
    """Our contracts with all that slither reads of a build, compiled when they changed."""
    sources = sorted((CONTRACTS / "src").rglob("*.sol"))
    inputs = [*sources, CONTRACTS / "foundry.toml", ROOT / "package-lock.json"]
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    stamp, made = CACHE / "sources.sha256", CACHE / "build"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(made, ignore_errors=True)
    command: list[str | Path] = [ROOT / "scripts" / "setup_node", "build"]
    command += ["--build-info", "--build-info-path", made / "info", "--out", made / "out"]
    command += ["--cache-path", made / "cache"]
    command += [path for path in sources if "devnet" not in path.parts]
    subprocess.run(command, check=True, stdout=sys.stderr)
    stamp.write_text(digest.hexdigest())


def run(tools: Path) -> Mapping[str, Any]:
    """slither's report: high and medium, ours only. Raises RuntimeError if it gave none."""
    report = CACHE / "report.json"
    report.unlink(missing_ok=True)
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin"))
    command: list[str | Path] = [tools / "slither", ".", "--ignore-compile", "--json", report]
    command += ["--foundry-out-directory", CACHE / "build" / "out"]
    command += ["--foundry-build-info-directory", CACHE / "build" / "info", "--fail-none"]
    command += ["--exclude-informational", "--exclude-optimization", "--exclude-low"]
    command += ["--exclude-dependencies", "--triage-database", CACHE / "none.json"]
    path = os.pathsep.join([str(forge), os.environ.get("PATH", "")])  # it asks forge for settings
    done = subprocess.run(
        command,
        cwd=CONTRACTS,
        env={**os.environ, "PATH": path, "HOME": str(ROOT / ".cache" / "home")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if not report.exists():
        raise RuntimeError(f"slither gave no report:\n{done.stderr[-4000:]}")
    body: Mapping[str, Any] = json.loads(report.read_text())
    return body


def main() -> int:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        answered = read_triage(TRIAGE.read_text())
        tools = set_up()
        build()
        found = findings(run(tools))
    except (TriageError, RuntimeError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    wrong = compare(found, answered)
    print("\n".join(wrong) if wrong else f"slither: {found.total()} findings, all answered")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
