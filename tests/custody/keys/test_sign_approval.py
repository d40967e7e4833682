"""`moorage sign-approval`: the person sees what is signed, before it is signed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from api.commands import people
from custody.core.ids import format_id
from custody.core.intents import Intent
from tests.custody.keys.vault_world import CHAIN, VaultWorld

pytestmark = pytest.mark.unit


def run(world: VaultWorld, intent: Intent, key: Path) -> tuple[str, str]:
    """Standard output and standard error."""
    app = typer.Typer()
    app.command()(people.sign_approval)
    person = format_id("person", world.first.id)
    asked = [json.dumps(intent.to_json()), "--key", str(key), "--person", person]
    done = CliRunner().invoke(app, asked)
    return done.stdout, done.stderr


def test_what_is_signed_is_shown_on_standard_error(world: VaultWorld, tmp_path: Path) -> None:
    world.first.key.write(tmp_path / "key")
    intent = world.payout(1234)
    out, shown = run(world, intent, tmp_path / "key")
    assert json.loads(out)["digest"] == intent.digest()
    facts = dict(line.strip().split("  ", 1) for line in shown.splitlines()[1:])
    assert {name: value.strip() for name, value in facts.items()} == {
        "kind": "payout",
        "chain": str(CHAIN),
        "asset": intent.asset_id,
        "amount": "1234 base units",
        "beneficiary": intent.beneficiary,
        "fee at most": f"{intent.fee_max_wei} wei",
        "digest": intent.digest(),
    }


def test_it_is_shown_before_it_is_signed(world: VaultWorld, tmp_path: Path) -> None:
    out, shown = run(world, world.payout(), tmp_path / "no such key")
    assert out == ""
    assert world.payout().beneficiary in shown


def test_a_field_cannot_paint_over_the_others(world: VaultWorld, tmp_path: Path) -> None:
    """An intent comes from the service: what it says is shown as text, on its own line."""
    world.first.key.write(tmp_path / "key")
    evil = replace(world.payout(), beneficiary="0x1\x1b[1A\x1b[2K\r\n  amount  1\u202e\x9b1A")
    _, shown = run(world, evil, tmp_path / "key")
    assert shown.isascii()
    assert set(shown) - {"\n"} == {c for c in shown if c.isprintable()}
    assert len(shown.splitlines()) == 8
