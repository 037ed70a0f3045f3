"""Parameters as dotenv and yaml: whoever reads them gets what was given."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import dotenv
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dramaturg.engine.runtime.normalise import Refused
from dramaturg.engine.runtime.parameters import encoded

PRINT = "import json, os, sys; print(json.dumps({n: os.environ[n] for n in sys.argv[1:]}))"

#: Pieces that mean something to shells, dotenv or YAML.
PIECES = [
    "'",
    '"',
    "\\",
    "\\\\",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "\n",
    " ",
    "#",
    " # x",
    "=",
    "!",
    "~",
    "*",
]
PIECES += [
    "a",
    "ä",
    "\U0001f600",
    "\t",
    "\x01",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    ";",
    "&",
    "export A=1",
    "\\n",
    "\\'",
    ":",
    "- ",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
)


def by_shell(shell: str, text: bytes, names: list[str]) -> dict[str, str]:
    """Return the variables after a shell has read the text as a file of its own."""
    command = [
        shell,
        "-c",
        'set -a; . /dev/stdin; exec "$@"',
        "x",
        sys.executable,
        "-X",
        "utf8",
        "-c",
        PRINT,
        *names,
    ]
    done = subprocess.run(command, input=text, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return json.loads(done.stdout)


def by_python_dotenv(text: bytes) -> dict[str, str | None]:
    return dict(dotenv.dotenv_values(stream=io.StringIO(text.decode(), newline=""), interpolate=False))


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_shell_reads_what_was_given(shell):
    """Values that are not text are compact JSON, null is empty."""
    parameters = {
        "text": 'it\'s "$HOME" \\ `id`\nnext',
        "_none": None,
        "YES": True,
        "n1": -1.5,
        "items": [1, {"a": "it's"}],
        "empty": "",
    }
    assert by_shell(shell, encoded(parameters, "dotenv"), list(parameters)) == {
        "text": 'it\'s "$HOME" \\ `id`\nnext',
        "_none": "",
        "YES": "true",
        "n1": "-1.5",
        "items": '[1,{"a":"it\'s"}]',
        "empty": "",
    }


@pytest.mark.parametrize("shell", ["bash", "sh"])
@settings(max_examples=15, deadline=None)
@given(texts=st.lists(TEXTS, min_size=20, max_size=60))
def test_a_shell_reads_any_text(shell, texts):
    """Whatever is in it, and nothing is run."""
    parameters = {f"v{n}": text for n, text in enumerate(texts)}
    assert by_shell(shell, encoded(parameters, "dotenv"), list(parameters)) == parameters


def both_can_read(text: str) -> bool:
    """Say whether there is a way to write a text that a shell and python-dotenv read in the same way."""
    return not (re.search(r"[$`]", text) and re.search(r"'|\\\\|\\\Z", text))


@settings(max_examples=300, deadline=None)
@given(text=TEXTS.filter(both_can_read))
def test_python_dotenv_reads_the_same(text):
    """But for texts that can't be written for both: those are a shell's."""
    assert by_python_dotenv(encoded({"a": text, "b": "end"}, "dotenv")) == {"a": text, "b": "end"}


def test_dotenv_is_plain_where_it_can_be():
    """People read it, too."""
    text = encoded({"app": "shop", "n": 3, "it": "it's", "both": "it's $5"}, "dotenv").decode()
    assert text == "app='shop'\nn='3'\nit=\"it's\"\nboth='it'\\''s $5'\n"


@pytest.mark.parametrize("name", ["1st", "my-name", "a b", "", "ä", "a\n", "A=B"])
def test_a_name_that_is_none_for_a_variable_is_refused(pack, name):
    """By name; nothing is started."""
    outcome = pack.shell("echo ran", parameter_format="dotenv", input={"fine": 1, name: 2})
    assert (outcome.status, outcome.error.type) == ("failed", "InvalidInput")
    assert "no name for a shell variable" in outcome.error.message
    assert outcome.error.details == {"names": [name]}
    assert outcome.logs == ()


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, {"b": "x"}], "ä": "ö", "": {}, "list": []},
        {
            "words": [
                "yes",
                "no",
                "on",
                "null",
                "~",
                "",
                " ",
                "=",
                "1",
                "0x1f",
                "0o17",
                "012",
                "1e3",
                "1_000",
                ".inf",
                "12:30:45",
            ]
        },
        {"dates": ["2026-01-31", "2026-01-31T10:00:00Z"], "y": "y", "N": "N", "true": "true"},
        {"lines": "a\nb\n\n c\n", "long": "word " * 100, "tab": "\ta", "quote": "'\"\\"},
        {"numbers": [2**63 - 1, -(2**63), 1e20, 1e-7, -0.0, 0.1]},
    ],
)
def test_yaml_is_read_as_it_was_given(value):
    """Keys in their order, text as text."""
    text = encoded(value, "yaml")
    loaded = yaml.safe_load(text)
    assert loaded == value
    assert repr(loaded) == repr(value)


@settings(max_examples=200, deadline=None)
@given(
    value=st.dictionaries(
        TEXTS,
        st.recursive(
            st.one_of(
                TEXTS,
                st.none(),
                st.booleans(),
                st.integers(-(2**63), 2**63 - 1),
                st.floats(allow_nan=False, allow_infinity=False),
            ),
            lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_yaml_holds_any_value(value):
    """Strange characters included; the reader is the strictest there is."""
    assert yaml.load(encoded(value, "yaml"), Loader=yaml.SafeLoader) == value


def test_yaml_does_not_leave_text_to_the_reader():
    """Versions of YAML differ in what is a number or a word; quotes settle it. A shared value is written twice."""
    shared = [1]
    text = encoded({"name": "shop", "on": "off", "e": "1e3", "a": shared, "b": shared}, "yaml").decode()
    assert text == 'name: shop\n"on": "off"\ne: "1e3"\na:\n- 1\nb:\n- 1\n'


@pytest.mark.parametrize("delivery", ["stdin", "file"])
@pytest.mark.parametrize("parameter_format", ["json", "dotenv", "yaml"])
def test_every_format_by_every_delivery(pack, delivery, parameter_format):
    """The file is private, as always; its name tells what is in it."""
    script = """
        import json, os, sys
        name = os.environ.get("DRAMATURG_PARAMETER_FILE")
        text = open(name).read() if name else sys.stdin.read()
        print(json.dumps([text, name and [name.rpartition(".")[2], oct(os.stat(name).st_mode & 0o777)]]))
    """
    pack.write("script.py", script)
    how = {"parameter_delivery": delivery, "parameter_format": parameter_format}
    outcome = pack.run("script.py", input={"app": "shop", "n": [1]}, **how)
    text, file = outcome.result
    assert (
        text
        == {
            "json": '{"app":"shop","n":[1]}\n',
            "dotenv": "app='shop'\nn='[1]'\n",
            "yaml": 'app: shop\n"n":\n- 1\n',
        }[parameter_format]
    )
    assert file == (None if delivery == "stdin" else [parameter_format, "0o400"])


def test_a_shell_script_reads_its_parameters(pack):
    """The way that the documentation shows, with both deliveries."""
    for how in ('. "$DRAMATURG_PARAMETER_FILE"', ". /dev/stdin"):
        delivery = "file" if "FILE" in how else "stdin"
        outcome = pack.shell(
            f'{how}; echo "$app/$n"',
            parameter_format="dotenv",
            parameter_delivery=delivery,
            input={"app": "a b", "n": 3},
        )
        assert outcome.result["stdout"] == "a b/3\n"


def test_an_unknown_format_can_not_be_asked_for():
    """No name but these three comes here."""
    with pytest.raises(Refused):
        encoded({"a b": 1}, "dotenv")
    assert encoded({}, "dotenv") == b""
    assert encoded({}, "yaml") == b"{}\n"
    assert encoded({}, "json") == b"{}\n"
