"""`run_action`: one way in, and it never raises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dramaturg.engine.runtime import Stop, run_action


def test_a_runtime_that_is_not_there_is_a_failure(pack):
    """Actors are other workers' business, and a workflow is never handed to a worker."""
    for runtime in ("dramatiq", None):
        request = pack.request("x.js")
        outcome = run_action(replace(request, action=replace(request.action, runtime=runtime)), Stop())
        assert (outcome.status, outcome.error.type) == ("failed", "UnknownAction")


def test_a_result_is_normalised(pack):
    """Whoever made it."""
    error = pack.script("print('[1e999]')").error
    assert (error.type, error.message) == ("InvalidOutput", "result[0] is inf, which JSON does not have")


def test_integers_beyond_64_bits_are_not_quietly_rounded(pack):
    """Some JSON readers make floats of them."""
    error = pack.script("print('{\"n\": 18446744073709551616}')").error
    assert error.message == "result.n is an integer beyond signed 64 bits"


def test_a_nul_in_text_output_is_refused_with_its_place(pack):
    """Text results are results."""
    outcome = pack.shell("printf 'a\\0b'")
    assert (outcome.error.type, outcome.error.message) == (
        "InvalidOutput",
        "result.stdout has a NUL character at 1",
    )
    assert outcome.logs[0].text == "a\ufffdb"


def test_a_nul_in_the_stderr_of_a_failure_is_shown(pack):
    """An error must be storable, too."""
    assert pack.shell("printf 'a\\0b' >&2; exit 1").error.details["stderr"] == "a\ufffdb"


def test_declared_output_is_checked(pack):
    """More than was declared is fine; less, or something else, is not."""
    declared = {"n": {"type": "integer", "required": True}}
    assert pack.script('print(\'{"n": 1, "more": 2}\')', output=declared).result == {"n": 1, "more": 2}
    error = pack.script('print(\'{"n": "x"}\')', output=declared).error
    assert error.type == "InvalidOutput"
    assert "'n' must be a whole number" in error.message
    assert pack.script("print()", output=declared).error.type == "InvalidOutput"


def test_logs_survive_a_refused_result(pack):
    """They say why."""
    outcome = pack.script("print('not json')")
    assert outcome.error.type == "InvalidOutput"
    assert outcome.logs[0].text == "not json\n"


def test_a_bug_of_ours_is_an_outcome(pack, monkeypatch):
    """A worker is never lost by one attempt."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("dramaturg.engine.runtime.run.run_script", broken)
    outcome = pack.script("print(1)")
    assert (outcome.status, outcome.error.type) == ("failed", "ZeroDivisionError")


@pytest.mark.parametrize(
    ("output_format", "printed", "result"),
    [
        ("json", '{"a": [1, null]}', {"a": [1, None]}),
        ("yaml", "a:\n- 1\n- null\nday: 2026-01-31", {"a": [1, None], "day": "2026-01-31"}),
        ("jsonl", '{"a": 1}\n\n2', [{"a": 1}, 2]),
        ("text", "a: [", {"stdout": "a: [\n", "stderr": "", "exit_code": 0}),
        ("json", "", None),
        ("yaml", "", None),
        ("jsonl", "", []),
    ],
)
@pytest.mark.parametrize("runtime", ["python", "shell"])
def test_every_output_format_of_every_runtime(pack, runtime, output_format, printed, result):
    """What a process prints becomes its result; the log has it as it was."""
    if runtime == "python":
        outcome = pack.script(f"print({printed!r})", output_format=output_format)
    else:
        outcome = pack.shell(f"cat <<'END'\n{printed}\nEND\n", output_format=output_format)
    assert outcome.status == "succeeded", outcome
    assert outcome.result == result
    assert outcome.logs[0].text == printed + "\n"


@pytest.mark.parametrize("output_format", ["json", "yaml", "jsonl"])
def test_output_that_does_not_parse_is_a_failure_in_every_format(pack, output_format):
    """It says so; an exit code that is none comes first."""
    error = pack.script("print('a: [')", output_format=output_format).error
    assert error.type == "InvalidOutput"
    assert f"does not parse as {output_format}" in error.message
    assert pack.script("print('a: ['); exit(3)", output_format=output_format).error.type == "ExitCode"


@pytest.mark.parametrize(
    ("output_format", "printed", "declared", "words"),
    [
        ("yaml", "n: x", {"n": {"type": "integer"}}, "'n' must be a whole number"),
        ("jsonl", "1", {"n": {"type": "integer"}}, "a map is expected, not a list"),
        ("text", "", {"exit_code": {"type": "integer", "minimum": 1}}, "'exit_code'"),
        ("json", '"x"', {}, "a map is expected, not 'x'"),
    ],
)
def test_declared_output_is_checked_in_every_format(pack, output_format, printed, declared, words):
    """It is the result that counts, not how it was printed."""
    error = pack.script(f"print({printed!r})", output_format=output_format, output=declared).error
    assert error.type == "InvalidOutput"
    assert words in error.message


def test_a_pending_result_is_not_checked(pack):
    """There is none yet."""
    script = "import dramaturg; dramaturg.pending(); print('{}')"
    outcome = pack.script(script, output={"n": {"required": True}})
    assert (outcome.status, outcome.error) == ("pending", None)
