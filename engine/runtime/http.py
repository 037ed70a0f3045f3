"""`core.http_request`: one request to an HTTP server (LANGUAGE 9).

It runs in a thread and an event loop of its own, like an action that is a coroutine: so a stop or a timeout ends it
wherever it is. The library is loaded with the first request; a command line that makes none does not pay for it.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.interpreter.numbers import seconds
from dramaturg.engine.runtime import ending
from dramaturg.engine.runtime.inprocess import run_call
from dramaturg.engine.runtime.normalise import Refused, readable, too_large
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest
from dramaturg.engine.runtime.stop import Stop

if TYPE_CHECKING:
    import httpx

#: Redirects that are followed.
REDIRECTS = 10
#: Bytes read of the body of an answer that is a failure, and characters kept of either end of it.
ERROR_BODY, ERROR_END = 64 * 1024, 4 * 1024
_METHOD = re.compile(r"[A-Za-z]+\Z")


def run_http(request: ActionRequest, stop: Stop) -> ActionOutcome:
    """Make a request and read its answer."""
    try:
        asked = _asked(request.input)
    except ValueError as error:
        message = f"{request.action.ref}: {error}"
        return ending.failed(Failure(type="InvalidInput", message=message))
    limits = [limit for limit in (request.timeout, asked.timeout) if limit is not None]
    limited = replace(request, timeout=min(limits, default=None))
    return run_call(limited, stop, lambda: _exchange(asked, request.result_limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for."""

    request: httpx.Request
    #: Seconds; None: as long as the attempt may take.
    timeout: float | None
    verify: bool
    follow_redirects: bool
    #: Status codes that are no failure; None: all below 400.
    expected: tuple[int, ...] | None

    @property
    def name(self) -> str:
        """Return what it is called in messages, without what may be secret: user, password and query."""
        url = self.request.url.copy_with(userinfo=b"", query=None, fragment=None)
        return f"{self.request.method} {readable(str(url))[:500]}"

    def expects(self, status: int) -> bool:
        return status < 400 if self.expected is None else status in self.expected


def _asked(given: Mapping[str, JSON]) -> _Asked:
    """Read the parameters.

    Raises:
        ValueError: they make no sense; says which.
    """
    timeout, expected = given.get("timeout"), given.get("expected_status")
    return _Asked(
        request=_request(given),
        timeout=None if timeout is None else seconds(timeout, "timeout", zero=False),
        verify=given.get("verify") is not False,
        follow_redirects=given.get("follow_redirects") is not False,
        expected=None if expected is None else tuple(expected if isinstance(expected, list) else [expected]),
    )


def _request(given: Mapping[str, JSON]) -> httpx.Request:
    import httpx  # with the first request, see above

    method = given.get("method") or "GET"
    if not isinstance(method, str) or not _METHOD.match(method):
        raise ValueError(f"method: {method!r:.80} is none")
    if given.get("body") is not None and "json" in given:
        raise ValueError("body and json: only one of them can be sent")
    headers = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "dramaturg"}
    content = given.get("body")
    if "json" in given:  # null is a value, too
        content = json.dumps(given["json"], ensure_ascii=False, separators=(",", ":"))
        headers["content-type"] = "application/json"
    headers |= {name.lower(): _header(value) for name, value in _map(given, "headers").items()}
    try:
        return httpx.Request(method.upper(), _url(given), headers=headers, content=content)
    except UnicodeEncodeError as error:
        raise ValueError(f"headers: {error.object!r:.80} is not ASCII") from None


def _url(given: Mapping[str, JSON]) -> httpx.URL:
    import httpx

    text = given.get("url")
    try:
        url = httpx.URL(str(text))
    except httpx.InvalidURL as error:
        raise ValueError(f"url: {text!r:.200}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"url: {text!r:.200} does not begin with http:// or https:// and a host")
    return url.copy_merge_params(_query(given)) if _map(given, "query") else url


def _query(given: Mapping[str, JSON]) -> dict[str, list[str]]:
    query = {}
    for name, value in _map(given, "query").items():
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, dict | list) for one in values):
            raise ValueError(f"query: {name!r:.80} is no single value and no list of such")
        query[name] = [_plain(one) for one in values if one is not None]
    return query


def _map(given: Mapping[str, JSON], name: str) -> dict[str, JSON]:
    """Return a map of values that are not null."""
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{name} must be a map")
    return {key: one for key, one in (value or {}).items() if one is not None}


def _header(value: JSON) -> str:
    if isinstance(value, dict | list):
        raise ValueError("headers: each must be a single value")
    return _plain(value)


def _plain(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def _exchange(asked: _Asked, limit: int) -> JSON:
    """Send the request, read the answer, and return the action's result.

    Raises:
        Refused: there is no answer, or not the one that was expected.
    """
    import httpx

    # No time limits of its own: the attempt has one.
    client = httpx.AsyncClient(
        verify=_trust(asked.verify),
        follow_redirects=asked.follow_redirects,
        max_redirects=REDIRECTS,
        timeout=None,
    )
    try:
        async with client:
            response = await client.send(asked.request, stream=True)
            try:
                if not asked.expects(response.status_code):
                    raise await _unexpected(asked, response)
                return _result(asked, response, await _body(asked, response, limit))
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        raise _no_answer(asked, error) from None


@lru_cache(maxsize=2)
def _trust(verify: bool) -> ssl.SSLContext:
    """Return whom to trust; made once, as reading all certificates takes longer than most requests."""
    import httpx

    return httpx.create_ssl_context(verify=verify)


async def _body(asked: _Asked, response: httpx.Response, limit: int) -> bytes:
    declared = response.headers.get("content-length", "")
    if asked.request.method != "HEAD" and declared.isdecimal() and int(declared) > limit:
        raise too_large(f"the answer to {asked.name}", int(declared), limit)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise too_large(f"the answer to {asked.name}", len(body), limit, at_least=True)
    return bytes(body)


async def _unexpected(asked: _Asked, response: httpx.Response) -> Refused:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > ERROR_BODY:
            break
    text = _text(response, bytes(body[:ERROR_BODY]))
    if len(text) > 2 * ERROR_END:
        text = f"{text[:ERROR_END]}\n[...]\n{text[-ERROR_END:]}"
    status = f"{response.status_code} {readable(response.reason_phrase)}".strip()
    details = {"status": response.status_code, "headers": _headers(response), "body": text}
    return Refused(Failure(type="HttpError", message=f"{asked.name}: {status}", details=details))


def _result(asked: _Asked, response: httpx.Response, body: bytes) -> dict[str, JSON]:
    text = _text(response, body)
    return {
        "status": response.status_code,
        "headers": _headers(response),
        "body": text,
        "json": _json(asked, text) if _is_json(response) and text.strip() else None,
    }


def _headers(response: httpx.Response) -> dict[str, JSON]:
    """Return the headers, in small letters; several of one name are joined by commas."""
    return {name.lower(): readable(value) for name, value in response.headers.items()}


def _text(response: httpx.Response, body: bytes) -> str:
    """Decode as the answer says, else as UTF-8; what is not in it, and NUL, becomes U+FFFD."""
    try:
        encoding = codecs.lookup(response.charset_encoding or "utf-8").name
        text = body.decode(encoding, "replace")
    except (LookupError, ValueError):  # no encoding, or none of text
        text = body.decode("utf-8", "replace")
    return readable(text.removeprefix("\ufeff"))


def _is_json(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _json(asked: _Asked, text: str) -> JSON:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        at = error.pos if isinstance(error, json.JSONDecodeError) else 0
        near = text[max(0, at - 60) : at + 60]
        message = f"the answer to {asked.name} does not parse as json: {why}, near {json.dumps(near, ensure_ascii=False)}"
        details = {"format": "json", "position": at, "near": near}
        raise Refused(Failure(type="InvalidOutput", message=message, details=details)) from None


def _no_answer(asked: _Asked, error: Exception) -> Refused:
    import httpx

    name = type(error).__name__
    message = f"{asked.name}: {readable(_reason(error))[:1000] or name}"
    if isinstance(error, httpx.LocalProtocolError):  # a header that can't be sent
        return Refused(Failure(type="InvalidInput", message=message))
    full_name = f"{type(error).__module__}.{name}"
    return Refused(Failure(type=name, message=message, details={"exception": full_name}))


def _reason(error: BaseException) -> str:
    """Return what the system said, where the library only says that it did not work."""
    deepest: BaseException = error
    while True:
        inner = deepest.__cause__ or deepest.__context__
        if isinstance(deepest, BaseExceptionGroup):
            inner = deepest.exceptions[0]
        if inner is None:
            break
        deepest = inner
    if not isinstance(deepest, OSError):
        return str(error)
    if deepest.errno and not isinstance(deepest, socket.gaierror | ssl.SSLError):
        return os.strerror(deepest.errno)
    return str(deepest)
