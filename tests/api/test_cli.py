"""Every capability has a command, and a command sends what its route expects."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api import cli
from api.app import create_app
from api.commands import generated, rescue
from custody.assurance import breakers
from custody.core.canonical import Json
from custody.core.errors import InvalidInput
from custody.core.ids import PersonId, format_id, new_uuid7
from custody.core.intents import Approval, approval_payload
from custody.deposits import review
from custody.keys.people import PersonKey, is_signed
from custody.policy import two_people
from router.policy import hash_of as risk_hash
from tests.api.test_app import an_intent
from tests.router.risk.documents import GOOD as RISK

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def app() -> Any:
    return cli.attach_routes()


@pytest.fixture(scope="module")
def by_command() -> dict[tuple[str, str], generated.Operation]:
    return {(o.noun, o.verb): o for o in generated.operations(create_app().openapi())}


def test_every_route_has_a_command_of_its_own(app: Any) -> None:
    rules = list(create_app().state.rules.values())
    root: Any = get_command(app)
    for rule in rules:
        noun, verb = rule.command.split(" ")
        assert verb in root.commands[noun].commands, rule.command
    assert len({r.command for r in rules}) == len(rules)


def test_the_services_own_commands_are_there(app: Any) -> None:
    root: Any = get_command(app)
    assert set(root.commands) >= cli.LOCAL


def test_request_binds_what_was_asked(by_command: Any) -> None:
    values = {"asset": "a", "amount": "5", "quote": "q", "chain_id": 1, "destination": "0x"}
    operation = by_command["withdrawals", "request"]
    path, query, body, headers = generated.request_of(operation, {**values, "token": "t"})
    assert (path, query, body) == ("/v1/withdrawals", {}, values)
    assert headers["Authorization"] == "Bearer t"
    assert headers["Idempotency-Key"]


def test_path_parameters_and_whole_bodies(by_command: Any, tmp_path: Path) -> None:
    operation = by_command["risk-policies", "load"]
    file = tmp_path / "policy.json"
    file.write_text('{"schema": "x"}')
    for given in (str(file), '{"schema": "x"}'):
        values = {"pool_id": "poo_1", "body": given}
        path, _, body, _ = generated.request_of(operation, values)
        assert (path, body) == ("/v1/pools/poo_1/policies", {"schema": "x"})
    path, *_ = generated.request_of(by_command["audit", "tile"], {"level": 0, "path": "x001/000"})
    assert path == "/v1/audit/tile/0/x001/000"


def test_a_problem_goes_to_stderr_and_fails(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(method: str, url: str, **_: Any) -> httpx.Response:
        return httpx.Response(404, text='{"code":"not-found"}')

    monkeypatch.setattr(httpx, "request", refuse)
    result = CliRunner().invoke(app, ["accounts", "show", "acc_1", "--token", "t"])
    assert result.exit_code == 1
    assert "not-found" in result.stderr
    assert result.stdout == ""


def test_an_answer_is_printed(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def answer(method: str, url: str, **more: Any) -> httpx.Response:
        seen.update(more, method=method, url=url)
        return httpx.Response(201, json={"id": "trf_1"})

    monkeypatch.setattr(httpx, "request", answer)
    line = "transfers create --to cus_1 --asset a --amount 7 --idempotency-key k --url http://h"
    result = CliRunner().invoke(app, line.split())
    assert json.loads(result.stdout) == {"id": "trf_1"}
    assert seen["json"] == {"to": "cus_1", "asset": "a", "amount": "7"}
    assert seen["url"] == "http://h/v1/transfers"
    assert seen["headers"] == {"Idempotency-Key": "k"}


@pytest.mark.parametrize("status", [None, 500, 503, 422])
def test_the_key_is_told_where_the_end_is_not_known(
    app: Any, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    seen: list[str] = []

    def fail(method: str, url: str, **more: Any) -> httpx.Response:
        seen.append(more["headers"]["Idempotency-Key"])
        if status is None:
            raise httpx.ConnectError("gone")
        return httpx.Response(status, text="{}")

    monkeypatch.setattr(httpx, "request", fail)
    line = ["transfers", "create", "--to", "c", "--asset", "a", "--amount", "7"]
    result = CliRunner().invoke(app, line)
    told = f"--idempotency-key {seen[0]}"
    assert (told in result.stderr) == (status != 422)
    CliRunner().invoke(app, [*line, *told.split()])
    assert seen[0] == seen[1]


def test_sign_approval_signs_the_intent_that_was_read(app: Any, tmp_path: Path) -> None:
    """The digest comes from the body, not from what the service says it is."""
    key, person = PersonKey.new(), PersonId(new_uuid7())
    key.write(tmp_path / "key")
    intent = an_intent()
    shown = json.dumps({"body": intent.to_json(), "digest": "sha256:" + "0" * 64})
    printed = format_id("person", person)
    result = CliRunner().invoke(
        app, ["sign-approval", shown, "--key", str(tmp_path / "key"), "--person", printed]
    )
    made = json.loads(result.stdout)
    end = datetime.fromisoformat(made["expires_at"])
    assert made["digest"] == intent.digest()
    assert end - datetime.now(UTC) < timedelta(minutes=61)
    approval = Approval(person, made["digest"], end, made["signature"])
    payload = approval_payload(person, intent.digest(), end)
    assert is_signed(key.public_key, payload, bytes.fromhex(approval.signature))


def test_sign_deposit_signs_the_document_that_was_read(app: Any, tmp_path: Path) -> None:
    """As with an intent; and nothing but a document about a deposit is signed so."""
    key, person = PersonKey.new(), PersonId(new_uuid7())
    key.write(tmp_path / "key")
    document = {"schema": review.SCHEMA, "action": "confirm", "amount": "5", "reason": None}
    printed = format_id("person", person)
    asked = ["--key", str(tmp_path / "key"), "--person", printed]
    shown = json.dumps({"document": document, "digest": "sha256:" + "0" * 64})
    result = CliRunner().invoke(app, ["people", "sign-deposit", shown, *asked])
    made = json.loads(result.stdout)
    end = datetime.fromisoformat(made["expires_at"])
    assert made["digest"] == two_people.digest(document)
    assert "confirm" in result.stderr
    payload = approval_payload(person, made["digest"], end)
    assert is_signed(key.public_key, payload, bytes.fromhex(made["signature"]))
    file = tmp_path / "approval.json"
    file.write_text(result.stdout)
    assert rescue.read_approval(file) == Approval(person, made["digest"], end, made["signature"])
    file.write_text("{}")
    with pytest.raises(InvalidInput):
        rescue.read_approval(file)
    other = json.dumps(an_intent().to_json())
    assert CliRunner().invoke(app, ["people", "sign-deposit", other, *asked]).exit_code != 0


def test_sign_breaker_shows_each_break_and_signs_nothing_else(app: Any, tmp_path: Path) -> None:
    key, person = PersonKey.new(), PersonId(new_uuid7())
    key.write(tmp_path / "key")
    document: dict[str, Json] = {
        "schema": breakers.SCHEMA,
        "asset": "eip155:1/slip44:60",
        "count": "1",
        "breaks": [{"break": "brk_1", "account": "asset:gas@1", "difference": "-7"}],
    }
    asked = ["--key", str(tmp_path / "key"), "--person", format_id("person", person)]
    result = CliRunner().invoke(app, ["people", "sign-breaker", json.dumps(document), *asked])
    made = json.loads(result.stdout)
    assert "brk_1 asset:gas@1 -7" in result.stderr
    assert made["digest"] == two_people.digest(document)
    end = datetime.fromisoformat(made["expires_at"])
    payload = approval_payload(person, made["digest"], end)
    assert is_signed(key.public_key, payload, bytes.fromhex(made["signature"]))
    other = json.dumps({**document, "schema": review.SCHEMA})
    assert CliRunner().invoke(app, ["people", "sign-breaker", other, *asked]).exit_code != 0


def test_of_many_breaks_the_signer_is_shown_each_beside_the_document(
    app: Any, tmp_path: Path
) -> None:
    """The document has only their hash: nobody signs it without what that is of."""
    key, person = PersonKey.new(), PersonId(new_uuid7())
    key.write(tmp_path / "key")
    listed: list[Json] = [{"break": f"brk_{n}", "difference": "-7"} for n in range(201)]
    document: dict[str, Json] = {
        "schema": breakers.SCHEMA,
        "count": "201",
        "breaks": [],
        "breaks_hash": breakers.hash_of(listed),
    }
    asked = ["--key", str(tmp_path / "key"), "--person", format_id("person", person)]

    def sign(**beside: Json) -> Any:
        shown = json.dumps({"document": document, **beside})
        return CliRunner().invoke(app, ["people", "sign-breaker", shown, *asked])

    result = sign(breaks=listed)
    assert json.loads(result.stdout)["digest"] == two_people.digest(document)
    assert all(f"brk_{n} -7" in result.stderr for n in range(201))
    for bad in (sign(), sign(breaks=[]), sign(breaks=listed[1:])):
        assert isinstance(bad.exception, InvalidInput)
        assert "breaks_hash" in str(bad.exception)


def test_sign_risk_shows_what_loosens_and_signs_the_document(app: Any, tmp_path: Path) -> None:
    key, person = PersonKey.new(), PersonId(new_uuid7())
    key.write(tmp_path / "key")
    asked = ["--key", str(tmp_path / "key"), "--person", format_id("person", person)]
    current = json.dumps({"document": RISK})
    looser = {**RISK, "version": 2, "previous": risk_hash(RISK), "liquidity_buffer_share": "0.01"}
    shown = json.dumps({"id": "rpr_…", "document": looser, "hash": "sha256:" + "0" * 64})
    result = CliRunner().invoke(app, ["people", "sign-risk", shown, current, *asked])
    made = json.loads(result.stdout)
    end = datetime.fromisoformat(made["expires_at"])
    assert made["digest"] == risk_hash(looser)
    assert "LOOSENS liquidity_buffer_share" in result.stderr
    payload = approval_payload(person, made["digest"], end)
    assert is_signed(key.public_key, payload, bytes.fromhex(made["signature"]))
    other = json.dumps({**RISK, "delay_s": 1})
    assert CliRunner().invoke(app, ["people", "sign-risk", shown, other, *asked]).exit_code != 0


def test_keygen_keeps_the_private_half_to_the_owner(app: Any, tmp_path: Path) -> None:
    file = tmp_path / "person.key"
    result = CliRunner().invoke(app, ["people", "keygen", str(file)])
    assert json.loads(result.stdout)["public_key"] == PersonKey.read(file).public_key.hex()
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text())["private_key"] not in result.stdout
