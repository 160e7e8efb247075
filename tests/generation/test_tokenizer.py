import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_ir.errors import InputError
from runtime.generation import tokenizer as module
from runtime.generation.tokenizer import TextStream, parse_tokenizer, read_tokenizer
from tests.generation.texts import byte_tokenizer

TOKENIZER = parse_tokenizer(byte_tokenizer(), "test")


def test_text_to_tokens_and_back_whatever_truncation_the_file_asks_for():
    tokens = TOKENIZER.encode("grün 😀")
    assert bytes(tokens) == "grün 😀".encode()
    assert TOKENIZER.decode(tokens) == "grün 😀"


def test_special_tokens_are_known_and_have_no_text():
    assert TOKENIZER.special() == {"<|endoftext|>": 256}
    assert TOKENIZER.encode("a<|endoftext|>b") == [97, 256, 98]
    assert TOKENIZER.decode([97, 256, 98]) == "ab"
    assert TOKENIZER.token("nothing") is None


@given(st.text(max_size=30), st.integers(0, 20))
def test_a_stream_gives_whole_characters_and_the_whole_text(text, cut):
    data = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    text = data.decode()
    stream = TextStream(TOKENIZER)
    pieces = [stream.push(byte) for byte in data]
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert "".join(pieces) + stream.rest() == text
    # After a stop between two characters the second stream begins where the first ended.
    at = len(text[:cut].encode())
    later = TextStream(TOKENIZER, list(data[:at]))
    assert "".join(later.push(byte) for byte in data[at:]) + later.rest() == text[cut:]


def test_a_character_that_was_cut_is_shown_whole_when_it_is_complete():
    data = "é".encode()
    first = TextStream(TOKENIZER)
    assert first.push(data[0]) == ""
    assert first.rest() == "\N{REPLACEMENT CHARACTER}"
    second = TextStream(TOKENIZER, [data[0]])
    assert second.push(data[1]) == "é"


def test_bytes_that_are_no_character_are_shown_with_what_follows():
    stream = TextStream(TOKENIZER)
    assert [stream.push(token) for token in (0xFF, 97)] == ["", "\N{REPLACEMENT CHARACTER}a"]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0"}', b"[" * 5000])
def test_what_is_no_tokenizer(data):
    with pytest.raises(InputError, match=r"here\.json: not a tokenizer"):
        parse_tokenizer(data, "here.json")


def test_a_file_is_not_read_beyond_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(byte_tokenizer())
    assert read_tokenizer(path).size == 257
    monkeypatch.setattr(module, "MAX_TOKENIZER_BYTES", 100)
    with pytest.raises(InputError, match="expected at most 100 bytes"):
        read_tokenizer(path)
    with pytest.raises(InputError, match="cannot read it"):
        read_tokenizer(tmp_path / "missing.json")
