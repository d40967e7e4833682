"""The demo's way in: HTTP with a bearer token, nothing else."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx


class ApiError(RuntimeError):
    """An answer that the demo did not expect."""

    def __init__(self, method: str, path: str, answer: httpx.Response) -> None:
        super().__init__(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        self.status = answer.status_code
        self.body = answer.text


class Api:
    """One caller. Every POST carries an Idempotency-Key of its own."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=30)

    def get(self, path: str, **query: Any) -> Any:
        return self._json("GET", path, params=query)

    def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self._json("POST", path, json={} if body is None else body, headers=headers)

    def raw(self, path: str) -> bytes:
        answer = self._client.get(path)
        if answer.status_code != 200:
            raise ApiError("GET", path, answer)
        return answer.content

    def all(self, path: str, **query: Any) -> list[Any]:
        """Every item of a listing, page by page."""
        items: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.get(path, **query, **cursor)
            items += page["items"]
            if not page["next"]:
                return items
            cursor = {"cursor": page["next"]}

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self._client.request(method, path, **options)
        if answer.status_code >= 400:
            raise ApiError(method, path, answer)
        return answer.json()


class Timeout(RuntimeError):
    """Something did not come about in time."""


def until(what: str, look: Callable[[], Any], timeout_s: float = 120, pause_s: float = 0.25) -> Any:
    """Look until the answer is true, and return it. Raises Timeout with `what`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(pause_s)
    raise Timeout(f"waited {timeout_s:.0f} s for: {what}")
