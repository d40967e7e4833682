"""The page: everything of the report, escaped, without script."""

import base64
import hashlib
import re

import pytest

from custody.assurance.solvency import page
from tests.custody.assurance.solvency_world import ENTITY, ETH_2, USDC, Epoch

pytestmark = pytest.mark.unit


def test_shows_what_is_owed_and_what_is_there() -> None:
    made = Epoch()
    text = page.page(made.report)
    for shown in (ENTITY, USDC, ETH_2, made.report["root"], "not proved", "4000", "1100"):
        assert shown in text
    # 5,050 owed; 1,100 is cash and 4,000 lies at a venue.
    assert "100.9900 %" in text
    assert "21.7821 %" in text


def test_is_strict() -> None:
    """No script, nothing from elsewhere, and the one style is the one that the policy names."""
    text = page.page(Epoch().report)
    assert not re.search(r"<script|<link|<img|\son\w+=|https?:|src=|href=", text)
    (style,) = re.findall("<style>(.*)</style>", text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.CONTENT_POLICY
    assert "unsafe" not in page.CONTENT_POLICY


def test_texts_are_no_markup() -> None:
    made = Epoch().report
    (venue,) = [m for m in made["reserves"] if m["class"] == "deployed"]
    venue["venue"] = "<script>alert(1)</script>"
    text = page.page(made)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_nothing_owed_has_no_ratio() -> None:
    made = Epoch().report
    made["totals"][0]["ratio_ppm"] = ""
    assert "nothing owed" in page.page(made)


def test_what_is_left_out_is_said() -> None:
    made = Epoch().report
    assert "Left out" not in page.page(made)
    made["left_out"] = [
        {"place": "asset:deposit", "asset": USDC, "reason": "<1>", "count": "70", "sum": "99"},
        {"place": "asset:old", "asset": USDC, "reason": "closed"},
    ]
    text = page.page(made)
    for shown in ("Left out", "&lt;1&gt;", ">70<", ">99<", "closed", "not said"):
        assert shown in text
