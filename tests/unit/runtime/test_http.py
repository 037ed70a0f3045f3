"""`core.http_request`: against a server on this machine, and against some that are none."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import dramaturg.packs
from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop, run_action

FILE = Path(dramaturg.packs.__file__).parent / "core" / "actions" / "http_request.yaml"
DOCUMENT = yaml.safe_load(FILE.read_text())


class Handler(BaseHTTPRequestHandler):
    """Answers by path; unknown ones tell what came."""

    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        route = getattr(self, "do_" + url.path.strip("/").replace("/", "_"), None)
        (route or self.echo)()

    do_GET = do_POST = do_PUT = do_DELETE = do_PURGE = handle_any

    def do_HEAD(self) -> None:
        self.answer(b"x" * 5000, kind="application/json", empty=True)

    def answer(
        self, body: bytes, status: int = 200, kind: str = "text/plain", empty: bool = False, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(b"" if empty else body)

    def echo(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = {"method": self.command, "path": url.path, "query": parse_qsl(url.query, True), "body": body}
        said["headers"] = {name.lower(): value for name, value in self.headers.items()}
        self.answer(json.dumps(said).encode(), kind="application/json; charset=utf-8")

    def do_missing(self) -> None:
        self.answer(b"nothing here", 404, X_Why="gone")

    def do_long(self) -> None:
        self.answer(b"begin " + b"x" * 200_000 + b" end", 500)

    def do_moved(self) -> None:
        self.answer(b"", 302, Location="/landed")

    def do_round(self) -> None:
        self.answer(b"", 302, Location="/round")

    def do_away(self) -> None:
        self.answer(b"", 302, Location="ftp://127.0.0.1/")

    def do_binary(self) -> None:
        self.answer(b"a\x00b\xff", kind="application/octet-stream")

    def do_latin(self) -> None:
        self.answer("ä".encode("latin-1"), kind="text/plain; charset=ISO-8859-1")

    def do_strange(self) -> None:
        self.answer("ä".encode(), kind="text/plain; charset=hex")

    def do_problem(self) -> None:
        self.answer(b'{"title": "x"}', kind="application/problem+json")

    def do_broken(self) -> None:
        self.answer(b'{"a": 1', kind="application/json")

    def do_huge_number(self) -> None:
        self.answer(b"[18446744073709551616]", kind="application/json")

    def do_deep(self) -> None:
        self.answer(b"[" * 100_000, kind="application/json")

    def do_nothing(self) -> None:
        self.answer(b"", kind="application/json")

    def do_plain(self) -> None:
        self.answer(b'{"a": 1}')

    def do_big(self) -> None:
        self.answer(b"x" * 5000)

    def do_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 10_000)
        except OSError:
            self.close_connection = True

    def do_bomb(self) -> None:
        self.answer(gzip.compress(b"x" * 5_000_000), Content_Encoding="gzip")

    def do_zipped(self) -> None:
        self.answer(gzip.compress(b"small"), Content_Encoding="gzip")

    def do_not_zipped(self) -> None:
        self.answer(b"not gzip at all", Content_Encoding="gzip")

    def do_cookies(self) -> None:
        self.send_response(204)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch) -> None:
    """What this machine is set to is not for these servers."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve, with TLS if there is a context; the server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # a client that goes is no error to be shown
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server."""
    with serving() as url:
        yield url


@contextmanager
def peer(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """Listen, and talk to the first who comes as `talk` says."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def main() -> None:
            connection, _ = listening.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=main, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(20)
        assert not thread.is_alive()


def run(
    url: str, stop: Stop | None = None, limits: dict[str, Any] | None = None, **given: Any
) -> ActionOutcome:
    """Run the action as the engine would: input checked, defaults applied."""
    parameters = ParameterSet(DOCUMENT["parameters"])
    given = {"url": url, **given}
    assert parameters.problems(given) == []
    fields = ("ref", "runtime", "entry_point", "parameters", "output")
    request = ActionRequest(
        action=ActionDef(**{key: DOCUMENT[key] for key in fields}),
        actions_dir=None,
        pack="core",
        execution_id=1,
        run_id="r",
        task="t",
        input=parameters.with_defaults(given),
        **(limits or {}),
    )
    return run_action(request, stop or Stop())


def ok(outcome: ActionOutcome) -> Any:
    assert outcome.status == "succeeded", outcome
    return outcome.result


def failure(outcome: ActionOutcome) -> Any:
    assert outcome.status == "failed", outcome
    return outcome.error


def test_a_get(server):
    """Status, headers in small letters, the body as text, and parsed where it says that it is JSON."""
    result = ok(run(f"{server}/hello"))
    assert result["status"] == 200
    assert result["headers"]["content-type"] == "application/json; charset=utf-8"
    assert json.loads(result["body"]) == result["json"]
    assert (result["json"]["method"], result["json"]["path"], result["json"]["body"]) == ("GET", "/hello", "")
    assert result["json"]["headers"]["user-agent"] == "dramaturg"


def test_headers_are_sent(server):
    """Numbers as they are written, null not at all; ours can be replaced."""
    given = {"X-One": "a b", "X-Number": 3, "X-True": True, "X-None": None, "User-Agent": "mine"}
    sent = ok(run(server, headers=given))["json"]["headers"]
    assert (sent["x-one"], sent["x-number"], sent["x-true"], sent["user-agent"]) == (
        "a b",
        "3",
        "true",
        "mine",
    )
    assert "x-none" not in sent


def test_a_query_is_added_to_the_urls_own(server):
    """Values are quoted; lists are several values, null is none."""
    sent = ok(run(f"{server}/?a=1", query={"b": "x&y=ä", "c": [1, None, True], "d": None, "e": ""}))["json"]
    assert sent["query"] == [["a", "1"], ["b", "x&y=ä"], ["c", "1"], ["c", "true"], ["e", ""]]


def test_a_text_is_sent_as_utf8(server):
    """As it is."""
    sent = ok(run(server, method="PUT", body="ä\n", headers={"Content-Type": "text/csv"}))["json"]
    assert (sent["method"], sent["body"], sent["headers"]["content-type"]) == ("PUT", "ä\n", "text/csv")


@pytest.mark.parametrize("value", [{"a": [1, "ä", None]}, [], 0, None])
def test_a_value_is_sent_as_json(server, value):
    """With its content type; null is a value, too."""
    sent = ok(run(server, method="POST", json=value))["json"]
    assert json.loads(sent["body"]) == value
    assert sent["headers"]["content-type"] == "application/json"


def test_any_method(server):
    """In capital letters."""
    assert ok(run(server, method="purge"))["json"]["method"] == "PURGE"
    assert ok(run(server, method="HEAD", limits={"result_limit": 1000}))["body"] == ""


def test_user_and_password_of_the_url(server):
    """Are sent as the server wants them, and not shown."""
    with_user = server.replace("//", "//kim:geheim@")
    assert ok(run(with_user))["json"]["headers"]["authorization"].startswith("Basic ")
    assert "geheim" not in str(failure(run(f"{with_user}/missing?token=geheim")))


def test_a_status_of_400_or_above_is_a_failure(server):
    """With what the server said."""
    error = failure(run(f"{server}/missing"))
    assert (error.type, error.message) == ("HttpError", f"GET {server}/missing: 404 Not Found")
    assert (error.details["status"], error.details["body"]) == (404, "nothing here")
    assert error.details["headers"]["x-why"] == "gone"


def test_of_a_long_failure_both_ends_are_kept(server):
    """Of what was read of it: 64 KiB at most."""
    body = failure(run(f"{server}/long")).details["body"]
    assert body.startswith("begin x")
    assert "\n[...]\n" in body
    assert len(body) < 9000


def test_a_failure_over_the_limit_is_still_that_failure(server):
    """The status says more than the size."""
    assert failure(run(f"{server}/long", limits={"result_limit": 1000})).type == "HttpError"


@pytest.mark.parametrize(
    ("path", "expected", "good"),
    [
        ("missing", 404, True),
        ("missing", [200, 404], True),
        ("missing", [200], False),
        ("plain", 200, True),
        ("plain", 201, False),
        ("plain", None, True),
    ],
)
def test_expected_status(server, path, expected, good):
    """It decides alone, where it is given."""
    outcome = run(f"{server}/{path}", expected_status=expected)
    assert outcome.status == ("succeeded" if good else "failed")
    assert good or outcome.error.type == "HttpError"


def test_redirects_are_followed(server):
    """Or not, as asked; not for ever, and not to anywhere."""
    assert ok(run(f"{server}/moved"))["json"]["path"] == "/landed"
    assert ok(run(f"{server}/moved", follow_redirects=False))["status"] == 302
    assert failure(run(f"{server}/round")).type == "TooManyRedirects"
    assert failure(run(f"{server}/away")).type == "UnsupportedProtocol"


def test_bodies_that_are_no_utf8(server):
    """The answer's own encoding counts; what can't be read is shown as such, and can be stored."""
    assert ok(run(f"{server}/binary"))["body"] == "a\ufffdb\ufffd"
    assert ok(run(f"{server}/latin"))["body"] == "ä"
    assert ok(run(f"{server}/strange"))["body"] == "ä"


def test_json(server):
    """By content type, not by looks."""
    assert ok(run(f"{server}/problem"))["json"] == {"title": "x"}
    assert ok(run(f"{server}/plain"))["json"] is None
    assert ok(run(f"{server}/nothing"))["json"] is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("broken", "does not parse as json"),
        ("deep", "does not parse as json"),
        ("huge_number", "result.json[0]"),
    ],
)
def test_json_that_is_none(server, path, words):
    """A failure that says so."""
    error = failure(run(f"{server}/{path}"))
    assert error.type == "InvalidOutput"
    assert words in error.message


def test_several_headers_of_one_name(server):
    """Are joined."""
    assert ok(run(f"{server}/cookies"))["headers"]["set-cookie"] == "a=1, b=2"


@pytest.mark.parametrize("path", ["big", "endless", "bomb"])
def test_an_answer_over_the_limit(server, path):
    """Whether it says its size, tells no end, or unfolds; the rest is not read."""
    error = failure(run(f"{server}/{path}", limits={"result_limit": 1000}))
    assert error.type == "PayloadTooLarge"
    assert error.details["limit"] == 1000


def test_compressed_answers(server):
    """Are unfolded; what can't be is a failure."""
    assert ok(run(f"{server}/zipped"))["body"] == "small"
    assert failure(run(f"{server}/not_zipped")).type == "DecodingError"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "ftp://x/"}, "does not begin with http:// or https:// and a host"),
        ({"url": "/relative"}, "does not begin with"),
        ({"url": "http://"}, "does not begin with"),
        ({"url": "http://x:port/"}, "url: 'http://x:port/'"),
        ({"body": "x", "json": 1}, "body and json"),
        ({"headers": {"X": "ä"}}, "headers: 'ä' is not ASCII"),
        ({"headers": {"X": "a\nb: c"}}, "Illegal header value"),
        ({"query": {"a": {"b": 1}}}, "query: 'a'"),
        ({"timeout": "soon"}, "timeout must be"),
    ],
)
def test_what_makes_no_sense_is_refused(server, given, words):
    """A refusal of the input, which is never retried; nothing is sent."""
    error = failure(run(**{"url": server, **given}))
    assert error.type == "InvalidInput"
    assert words in error.message


def test_nobody_listens():
    """The system's own words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure(run(f"http://127.0.0.1:{port}/"))
    assert error.type == "ConnectError"
    assert error.message == f"GET http://127.0.0.1:{port}/: Connection refused"
    assert error.details == {"exception": "httpx.ConnectError"}


def test_a_name_that_nobody_has():
    """It is no failure of ours."""
    assert failure(run("http://nobody.invalid/")).type == "ConnectError"


def test_a_peer_that_hangs_up():
    """In the middle of nothing."""
    with peer(lambda connection: connection.recv(1000)) as url:
        assert failure(run(url)).type in ("RemoteProtocolError", "ReadError")


def test_a_peer_that_speaks_something_else():
    """No HTTP."""
    with peer(lambda connection: (connection.recv(1000), connection.sendall(b"220 mail\r\n\r\n"))) as url:
        assert failure(run(url)).type == "RemoteProtocolError"


@pytest.fixture
def own_certificate(tmp_path) -> Path:
    """A certificate that nobody vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=36500))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    file = tmp_path / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM) + secret)
    return file


def test_a_certificate_is_checked(own_certificate):
    """Unless it is said that it need not be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)
    with serving(context) as url:
        error = failure(run(url))
        assert ok(run(url, verify=False))["status"] == 200
    assert error.type == "ConnectError"
    assert "CERTIFICATE_VERIFY_FAILED" in error.message


def test_a_server_that_knows_no_tls(server):
    """Is no server for https."""
    assert failure(run(server.replace("http:", "https:"), verify=False)).type == "ConnectError"


def hanging(connection: socket.socket) -> None:
    """Say the beginning of an answer, and wait until the other one goes."""
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    connection.settimeout(20)
    assert connection.recv(1000) == b""


@pytest.mark.parametrize(
    "limit",
    [
        {"timeout": 0.3},
        {"timeout": "0.3s"},
        {"limits": {"timeout": 0.3}},
        {"limits": {"timeout": 0.3}, "timeout": None},
    ],
)
def test_it_has_a_timeout(limit):
    """Its own or the task's, whichever is shorter; for the whole exchange."""
    with peer(hanging) as url:
        began = time.monotonic()
        outcome = run(url, **limit)
        assert time.monotonic() - began < 10
    assert outcome.status == "timed_out"
    assert outcome.error.details == {"kind": "start_to_close", "seconds": 0.3}


def test_it_can_be_stopped():
    """At once, in the middle of an answer; the connection is closed."""
    stop = Stop()

    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        stop.cancel("enough")
        connection.settimeout(20)
        assert connection.recv(1000) == b""

    with peer(talk) as url:
        began = time.monotonic()
        outcome = run(url, stop)
        assert time.monotonic() - began < 10
    assert (outcome.status, outcome.error.message) == ("cancelled", "enough")


def test_the_library_is_loaded_with_the_first_request():
    """Not with the engine: a command line starts without it."""
    code = "import sys, dramaturg.engine.runtime; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
