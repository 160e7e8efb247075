"""`egrl generate`, and `egrl compile --decode`, as a person meets them."""

import json
import signal
import subprocess
import sys

import pytest

from egrl.cli.main import main
from runtime.generation.generator import open_generator
from runtime.load import load_artifact
from tests.generation.conftest import CONTEXT, VOCABULARY


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_compile_says_what_is_kept(capsys, source, tmp_path):
    out = tmp_path / "t.egrl"
    code, text, _ = run(
        capsys, "compile", source, "--decode", "--context", CONTEXT, "--target", "nnp-i",
        "--compress", "streaming,window=16", "--placer", "greedy", "--budget", "1ev",
        "--tokenizer", source.with_name("tokenizer.json"), "-o", out,
    )  # fmt: skip
    assert code == 0
    assert "(prefill)" in text
    assert "(decode)" in text
    assert f"caches: {CONTEXT} positions: " in text
    assert "kept by streaming" in text
    code, text, _ = run(capsys, "inspect", out)
    assert code == 0
    assert "tokens that end a text: 256" in text
    assert "window=16" in text
    code, text, _ = run(capsys, "verify", out)
    assert code == 0
    assert "prefill, decode" in text


def test_text_is_printed_as_python_gives_it(capsys, artifact):
    generator = open_generator(load_artifact(artifact))
    expected = "".join(generator.stream(generator.start(), "ab", 12))
    code, text, notes = run(capsys, "generate", artifact, "--prompt", "ab", "--max-tokens", 12)
    assert (code, text) == (0, expected + "\n")
    assert "[12 tokens" in notes
    code, text, _ = run(
        capsys, "generate", artifact, "--prompt", "ab", "--max-tokens", 12, "--json"
    )
    found = json.loads(text)
    assert code == 0
    assert found["text"] == expected
    assert (found["prompt_tokens"], len(found["tokens"]), found["finish"]) == (2, 12, "length")


def test_a_prompt_from_a_file(capsys, artifact, tmp_path):
    path = tmp_path / "prompt"
    path.write_text("ab")
    same = run(capsys, "generate", artifact, "--prompt", "ab", "--max-tokens", 3)[1]
    assert run(capsys, "generate", artifact, "--prompt-file", path, "--max-tokens", 3)[1] == same


def test_seeds(capsys, artifact):
    def said(seed):
        return run(
            capsys, "generate", artifact, "--prompt", "ab", "--max-tokens", 20, "--temperature",
            "1.5", "--top-p", "0.95", "--seed", seed,
        )[1]  # fmt: skip

    assert said(1) == said(1) != said(2)


def test_tokens_without_a_tokenizer(capsys, small):
    code, text, _ = run(capsys, "generate", small, "--tokens", "1, 2,3", "--max-tokens", 4)
    assert code == 0
    tokens = [int(part) for part in text.strip().split(",")]
    assert 1 <= len(tokens) <= 4
    assert all(0 <= token < VOCABULARY for token in tokens)
    found = json.loads(run(capsys, "generate", small, "--tokens", "1,2,3", "--json")[1])
    assert found["text"] is None


def test_a_session_goes_on(capsys, artifact, tmp_path):
    whole = json.loads(
        run(capsys, "generate", artifact, "--prompt", "ab", "--max-tokens", 8, "--json")[1]
    )
    path = tmp_path / "s.session"
    common = ("generate", artifact, "--session", path, "--json", "--max-tokens")
    first = json.loads(run(capsys, *common, 3, "--prompt", "ab")[1])
    second = json.loads(run(capsys, *common, 5)[1])
    assert first["tokens"] + second["tokens"] == whole["tokens"]
    third = json.loads(run(capsys, *common, 1, "--prompt", "cd")[1])
    assert third["prompt_tokens"] == 2
    assert third["positions"] == 2 + 8 + 2 + 1


def test_the_context_ends_a_text(capsys, artifact):
    code, _, notes = run(capsys, "generate", artifact, "--prompt", "ab", "--max-tokens", 1000)
    assert code == 0
    assert f"because the context of {CONTEXT} positions is full" in notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--prompt: expected a text to continue"),
        (["--prompt", ""], "--prompt: expected a text to continue, got an empty one"),
        (["--prompt", "a", "--tokens", "1"], "--prompt and --tokens: expected one of them"),
        (["--tokens", "1,,2"], "--tokens: expected whole numbers"),
        (["--tokens", "257"], "token 257: expected 0 to 256"),
        (["--prompt", "a" * (CONTEXT + 1)], f"the {CONTEXT} positions of the context, got 65"),
        (["--prompt-file", "missing"], "missing: No such file"),
        (["--session", "missing"], "--session missing: no such session"),
        (["--prompt", "a", "--temperature", "-1"], "expected 0 or a number above 0"),
        (["--prompt", "a", "--top-p", "2"], "top-p: expected above 0 and at most 1, got 2"),
        (["--prompt", "a", "--max-tokens", "0"], "expected a whole number above 0"),
        (["--prompt", "a", "--session", "no/folder/s"], "no folder"),
    ],
)
def test_what_cannot_be_generated(capsys, monkeypatch, artifact, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, text, error = run(capsys, "generate", artifact, *arguments)
    assert (code, text) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_is_no_session_and_a_prompt_that_is_no_text(capsys, artifact, tmp_path):
    path = tmp_path / "s"
    path.write_bytes(b"\xff\xfe")
    assert run(capsys, "generate", artifact, "--session", path)[0] == 2
    assert path.read_bytes() == b"\xff\xfe"
    code, _, error = run(capsys, "generate", artifact, "--prompt-file", path)
    assert code == 2
    assert "not a UTF-8 text" in error


def test_a_text_for_an_artifact_without_a_tokenizer(capsys, small):
    code, _, error = run(capsys, "generate", small, "--prompt", "a")
    assert code == 2
    assert "no tokenizer" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--decode"], "--decode: expected --context N"),
        (["--context", "8"], "--context: expected --decode beside it"),
        (["--eos", "1"], "--eos: expected --decode beside it"),
        (["--decode", "--context", "8", "--dim", "a=1"], "--dim: not with --decode"),
        (["--decode", "--context", "8", "--max-bytes", "9"], "--max-bytes: not with --decode"),
    ],
)
def test_flags_that_do_not_go_together(capsys, tmp_path, arguments, message):
    out = tmp_path / "x.egrl"
    code, _, error = run(capsys, "compile", "m.onnx", "--target", "nnp-i", "-o", out, *arguments)
    assert code == 2
    assert message in error


def test_run_says_what_to_use(capsys, artifact, tmp_path):
    inputs = tmp_path / "in.npz"
    import numpy as np

    np.savez(inputs, x=np.zeros(1))
    code, _, error = run(capsys, "run", artifact, "--inputs", inputs, "-o", tmp_path / "o.npz")
    assert code == 2
    assert "expected one of prefill, decode; egrl generate gives text" in error


def test_generate_of_another_artifact(capsys, tmp_path):
    from tests.runtime.tiny import write_tiny

    write_tiny(tmp_path / "a.egrl")
    code, _, error = run(capsys, "generate", tmp_path / "a.egrl", "--prompt", "a")
    assert code == 2
    assert "expected the artifact of a decoder" in error


KILLED = """
import builtins, os, signal, sys
from egrl.cli.main import main

said = []

def last_words(*words, **options):
    said.append(words)
    if len(said) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

builtins.print = last_words
main(sys.argv[1:])
"""


def test_killing_it_mid_way_loses_no_session(capsys, artifact, tmp_path):
    path = tmp_path / "s"
    arguments = ["generate", artifact, "--session", path, "--max-tokens"]
    assert run(capsys, *arguments, 2, "--prompt", "ab")[0] == 0
    before = path.read_bytes()
    command = [sys.executable, "-c", KILLED, *map(str, arguments), "30"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["s"]
