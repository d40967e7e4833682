"""What people do at their own desk: make a key, sign an approval or a policy. No service needed."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api.inputs import checked_address
from custody.assurance import anchor_dismissal, breakers, log_restore
from custody.core import governance
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput
from custody.core.governance import Address, Changing
from custody.core.ids import new_uuid7, parse_id
from custody.core.intents import Intent
from custody.deposits import review
from custody.keys import people
from custody.keys.people import PersonKey
from custody.policy import two_people
from router import policy as risk_policy
from router.risk.compare import changes as risk_changes

app = typer.Typer(help="Keys of people, and what is signed with them.", no_args_is_help=True)

Beside = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
"""What stands beside a document of which it has only a hash, by the whole of what was printed."""

KeyFile = Annotated[Path, typer.Option("--key", help="the person's key file")]
Person = Annotated[str, typer.Option(help="the id the person is enrolled with")]
Minutes = Annotated[int, typer.Option(min=1, max=1440, help="how long it is good for")]


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


@app.command()
def keygen(
    output: Annotated[Path, typer.Argument(help="new file, readable by its owner alone")],
) -> None:
    """Make a person's Ed25519 key. The public half is what the ceremony enrols."""
    key = PersonKey.new()
    key.write(output)
    _print({"public_key": key.public_key.hex(), "file": str(output)})


def sign_approval(
    intent: Annotated[str, typer.Argument(help="the intent as `moorage intents show` prints it")],
    key: KeyFile,
    person: Person,
    minutes: Minutes = 60,
) -> None:
    """Approve one exact operation: INTENT is its JSON, a file name, or `-` for standard input.

    The digest is computed here from the intent's own body: what is signed is what was read, and
    what was read is shown on standard error before it is signed.
    """
    shown = json.loads(read_text(intent))
    body = shown.get("body", shown)
    read = Intent.from_json(body)
    _approve(_of_intent(read), read.digest(), key, person, minutes, intent=body["id"])


def _approve(
    facts: Mapping[str, str], digest: str, key: Path, person: str, minutes: int, **of: str
) -> None:
    """Show what is approved, sign its digest, and print the approval, with what it is `of`."""
    id_ = parse_id("person", person, "person")
    _show_facts(facts)
    end = datetime.now(UTC) + timedelta(minutes=minutes)
    made = people.sign_approval(PersonKey.read(key), id_, digest, end)
    _print(
        {
            **of,
            "digest": made.intent_digest,
            "person": person,
            "expires_at": iso_us(made.expires_at),
            "signature": made.signature,
        }
    )


@app.command("sign-deposit")
def sign_deposit(
    document: Annotated[str, typer.Argument(help="as `deposits review` or `rescue` prints it")],
    key: KeyFile,
    person: Person,
    minutes: Minutes = 60,
) -> None:
    """Agree to what the document decides about one deposit: one of two persons of treasury.

    The digest is computed here from the document, which is shown before it is signed.
    """
    _sign_document(document, review.SCHEMA, key, person, minutes)


@app.command("sign-fork")
def sign_fork(
    document: Annotated[str, typer.Argument(help="as `audit fork-dismissal` prints it")],
    key: KeyFile,
    person: Person,
    minutes: Minutes = 60,
) -> None:
    """Agree that the log is anchored again in spite of a fork: one of two persons of treasury."""
    _sign_document(document, anchor_dismissal.SCHEMA, key, person, minutes)


@app.command("sign-restore")
def sign_restore(
    document: Annotated[str, typer.Argument(help="one of those that `log-restore` prints")],
    key: KeyFile,
    person: Person,
    minutes: Minutes = 60,
) -> None:
    """Agree that the log goes on after a restore, without what the document names: one of two
    persons of the tenant's treasury.

    The digest is computed here from the document, which is shown before it is signed.
    """
    _sign_document(document, log_restore.SCHEMA, key, person, minutes)


@app.command("sign-breaker")
def sign_breaker(
    document: Annotated[str, typer.Argument(help="as `breakers review` prints it")],
    key: KeyFile,
    person: Person,
    minutes: Minutes = 60,
) -> None:
    """Agree to close a breaker, with its breaks as they are: one of two persons of treasury.

    The digest is computed here from the document, which is shown before it is signed.
    """
    _sign_document(document, breakers.SCHEMA, key, person, minutes, _breaks_beside)


def _breaks_beside(shown: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The breaks of a document that has only their hash: as the review lists them beside it.

    Raises InvalidInput where they are not those: nobody signs what he was not shown.
    """
    if body.get("breaks") or body.get("count") == "0":
        return {}
    listed = shown.get("breaks")
    if not isinstance(listed, list) or breakers.hash_of(listed) != body.get("breaks_hash"):
        raise InvalidInput("document", "must come with the breaks that its breaks_hash is of")
    return {"breaks": listed}


def _facts(body: Mapping[str, Any]) -> dict[str, str]:
    """A line a field, and one for each thing of a list."""
    shown: dict[str, str] = {}
    for name, value in body.items():
        if isinstance(value, list):
            for n, item in enumerate(value):
                shown[f"{name} {n}"] = " ".join(str(x) for x in item.values())
        else:
            shown[name] = str(value)
    return shown


def _sign_document(
    document: str,
    schema: str,
    key: Path,
    person: str,
    minutes: int,
    beside: Beside = lambda shown, body: {},
) -> None:
    shown = json.loads(read_text(document))
    body = shown.get("document", shown)
    if not isinstance(body, dict) or body.get("schema") != schema:
        raise InvalidInput("document", f"must be of schema {schema}")
    facts = _facts({**body, **beside(shown, body)})
    _approve(facts, two_people.digest(body), key, person, minutes)


@app.command("sign-risk")
def sign_risk(
    proposal: Annotated[str, typer.Argument(help="as `risk-proposals show` prints it")],
    current: Annotated[str, typer.Argument(help="the risk policy in force: its document")],
    key: KeyFile,
    person: Person,
    minutes: Minutes = 60,
) -> None:
    """Agree to a looser risk policy, as the second person.

    The digest, and what changes, are computed here from the two documents; what loosens is shown
    on standard error before it is signed.
    """
    shown, before = json.loads(read_text(proposal)), json.loads(read_text(current))
    new = risk_policy.parse(shown.get("document", shown))
    old = risk_policy.parse(before.get("document", before))
    if new.previous != old.hash:
        raise InvalidInput("current", "must be the version that the proposal follows")
    facts = {
        ("LOOSENS " if c.loosens else "") + c.field: f"{c.old} -> {c.new}"
        for c in risk_changes(old, new)
    }
    _approve(facts, new.hash, key, person, minutes)


@app.command("sign-policy")
def sign_policy(
    document: Annotated[str, typer.Argument(help="the policy: a file, or `-`")], key: KeyFile
) -> None:
    """Sign a policy document as the authority; the output is what `policies load` takes."""
    _print(people.sign_policy(PersonKey.read(key), json.loads(read_text(document))))


@app.command("sign-enrolment")
def sign_enrolment(
    document: Annotated[str, typer.Argument(help="the enrolment: a file, or `-`")], key: KeyFile
) -> None:
    """Sign a change of staff as the authority; the output is what `enrolments load` takes."""
    _print(people.sign_enrolment(PersonKey.read(key), json.loads(read_text(document))))


@app.command("sign-unfreeze")
def sign_unfreeze(
    frozen_at: Annotated[str, typer.Argument(help="as `moorage keys status` prints it")],
    key: KeyFile,
    person: Person,
) -> None:
    """Sign the lifting of one freeze."""
    payload = people.unfreeze_payload(parse_id("person", person, "person"), frozen_at)
    _print({"person": person, "signature": PersonKey.read(key).sign(payload).hex()})


@app.command("sign-address")
def sign_address(
    tenant: Annotated[str, typer.Option(help="ten_…")],
    chain_id: Annotated[int, typer.Option(min=1)],
    address: Annotated[str, typer.Option(help="with its EIP-55 checksum")],
    label: Annotated[str, typer.Option(help="whose it is")],
    key: KeyFile,
    person: Person,
) -> None:
    """Sign an entry of the address book; the output is what `address-book add` takes.

    `hash` is what others of treasury agree to with `people sign-consent address`.
    """
    entry = Address(
        new_uuid7(),
        parse_id("tenant", tenant, "tenant"),
        chain_id,
        checked_address(address, "address"),
        label,
        parse_id("person", person, "person"),
    )
    body = {k: v for k, v in entry.to_json().items() if k not in ("schema", "tenant")}
    signature = PersonKey.read(key).sign(entry.payload()).hex()
    typer.echo(f"hash {entry.hash()}", err=True)
    _print({**body, "signature": signature})


@app.command("sign-removal")
def sign_removal(
    entry: Annotated[str, typer.Argument(help="adr_…")],
    tenant: Annotated[str, typer.Option(help="ten_…")],
    key: KeyFile,
    person: Person,
) -> None:
    """Sign that an entry of the address book is to go."""
    parse_id("address", entry, "entry")
    _print_signed(key, person, governance.removal_payload(tenant, entry, person))


@app.command("sign-lift")
def sign_lift(
    freeze: Annotated[str, typer.Argument(help="frz_…, as `moorage freezes list` prints it")],
    scope: Annotated[str, typer.Option(help="tenant, asset or destination")],
    tenant: Annotated[str, typer.Option(help="ten_…")],
    key: KeyFile,
    person: Person,
    value: Annotated[str, typer.Option(help="as it was listed; empty for the tenant")] = "",
) -> None:
    """Sign the lifting of one freeze. Scope and value are signed too: what you name is lifted."""
    payload = governance.lift_payload(tenant, freeze, scope, value.lower(), person)
    _print_signed(key, person, payload)


@app.command("sign-consent")
def sign_consent(
    what: Annotated[Changing, typer.Argument(help="what the document changes")],
    hash_: Annotated[str, typer.Argument(metavar="HASH", help="of the document: sha256:…")],
    tenant: Annotated[str, typer.Option(help="ten_…")],
    key: KeyFile,
    person: Person,
) -> None:
    """Agree to a loosening of the policy or the people, or to an entry of the address book."""
    _print_signed(key, person, governance.consent_payload(tenant, what, hash_, person))


@app.command("sign-veto")
def sign_veto(
    what: Annotated[Changing, typer.Argument(help="what the document changes")],
    hash_: Annotated[str, typer.Argument(metavar="HASH", help="as `policies pending` prints it")],
    tenant: Annotated[str, typer.Option(help="ten_…")],
    key: KeyFile,
    person: Person,
) -> None:
    """Veto a loosening that waits; the output is what `policies veto` takes."""
    _print_signed(key, person, governance.veto_payload(tenant, what, hash_, person))


def _print_signed(key: Path, person: str, payload: bytes) -> None:
    parse_id("person", person, "person")
    _print({"person": person, "signature": PersonKey.read(key).sign(payload).hex()})


def _of_intent(intent: Intent) -> dict[str, str]:
    """What a person approves. Amounts are base units; nothing here is looked up."""
    return {
        "kind": intent.kind.value,
        "chain": str(intent.chain_id),
        "asset": intent.asset_id,
        "amount": f"{intent.amount} base units",
        "beneficiary": intent.beneficiary,
        "fee at most": f"{intent.fee_max_wei} wei",
        "digest": intent.digest(),
    }


def _show_facts(facts: Mapping[str, str]) -> None:
    """One a line. Text is escaped: it comes from the service, and control characters in one could
    paint over what the lines before it say."""
    typer.echo("you are about to approve:", err=True)
    for name, value in facts.items():
        shown = value.encode("unicode_escape").decode("ascii")
        typer.echo(f"  {name:<12} {shown}", err=True)


def read_text(source: str) -> str:
    """The text itself if it is JSON, else what a file or standard input holds."""
    if source == "-":
        return typer.get_text_stream("stdin").read()
    if source.lstrip().startswith("{"):
        return source
    return Path(source).read_text()
