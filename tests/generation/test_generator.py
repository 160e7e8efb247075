import json

import numpy as np
import pytest

from graph_ir.errors import InputError
from runtime.generation.generator import Generator
from runtime.generation.sampling import Sampling
from runtime.generation.states import STATES_KEY
from runtime.generation.tokenizer import parse_tokenizer
from tests.generation.texts import byte_tokenizer
from tests.generation.toy import (
    CHUNK,
    CONTEXT,
    DIGEST,
    EOS,
    VOCABULARY,
    toy_generator,
    toy_greedy,
    toy_record,
    toy_step,
)

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5]
DRAWN = Sampling(temperature=1.5, top_p=0.9, seed=4)


@pytest.fixture(scope="module")
def generator():
    return toy_generator()


@pytest.mark.parametrize("length", [1, 2, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_tokens_are_those_of_the_whole_prompt_read_at_once(generator, length):
    sequence = generator.start()
    given = list(generator.generate(sequence, PROMPT[:length], 12))
    assert PROMPT[:length] + given == toy_greedy(PROMPT[:length], 12) == sequence.tokens
    assert sequence.finish == ("eos" if given[-1] == EOS else "length")


@pytest.mark.parametrize(("length", "chunks"), [(2, 0), (3, 1), (16, 1), (18, 1), (19, 2)])
def test_a_few_tokens_are_not_worth_a_chunk(monkeypatch, length, chunks):
    generator = Generator(toy_step(16), toy_step(1), toy_record(chunk=16), None, DIGEST)
    sequence = generator.start()
    run, sizes = sequence._prefill.run, []
    monkeypatch.setattr(
        sequence._prefill,
        "run",
        lambda tokens, past: sizes.append(len(tokens)) or run(tokens, past),
    )
    prompt = (PROMPT * 3)[:length]
    given = list(generator.generate(sequence, prompt, 4))
    assert prompt + given == toy_greedy(prompt, 4)
    assert len(sizes) == chunks


def test_a_stop_and_a_second_prompt_go_on_where_it_was(generator):
    whole, parts = generator.start(), generator.start()
    expected = list(generator.generate(whole, PROMPT, 10, DRAWN))
    given = list(generator.generate(parts, PROMPT, 3, DRAWN))
    given += generator.generate(parts, (), 7, DRAWN)
    assert given == expected
    said = list(generator.generate(parts, [7, 8], 1))
    assert parts.tokens == toy_greedy(PROMPT + expected + [7, 8], 1)
    assert len(said) == 1


def test_an_abandoned_generation_keeps_what_was_given(generator):
    sequence = generator.start()
    tokens = generator.generate(sequence, PROMPT, 10)
    first = [next(tokens), next(tokens)]
    tokens.close()
    rest = list(generator.generate(sequence, (), 8))
    assert PROMPT + first + rest == toy_greedy(PROMPT, 10)


def test_two_sequences_in_turns_do_not_disturb_each_other(generator):
    prompts = [PROMPT, [11, 12]]
    alone = [list(generator.generate(generator.start(), prompt, 10, DRAWN)) for prompt in prompts]
    both = [generator.generate(generator.start(), prompt, 10, DRAWN) for prompt in prompts]
    turns = [[], []]
    for _ in range(10):
        for at, tokens in enumerate(both):
            turns[at] += [token for token in [next(tokens, None)] if token is not None]
    assert turns == alone


def test_the_seed_decides(generator):
    def drawn(seed):
        sampling = Sampling(temperature=2.0, seed=seed)
        return list(generator.generate(generator.start(), PROMPT, 15, sampling))

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 1


def test_the_end_token_ends(generator):
    never, always = toy_generator(eos=[]), toy_generator(eos=list(range(VOCABULARY)))
    sequence = always.start()
    assert len(list(always.generate(sequence, PROMPT, 10))) == 1
    assert sequence.finish == "eos"
    sequence = never.start()
    assert len(list(never.generate(sequence, PROMPT, 10))) == 10


def test_the_context_is_a_limit():
    generator = toy_generator(eos=[])
    sequence = generator.start()
    given = list(generator.generate(sequence, PROMPT, 1000))
    # The last token needs no position: nothing comes after it.
    assert len(PROMPT) + len(given) == CONTEXT + 1
    assert sequence.finish == "context"
    assert sequence.fed == CONTEXT
    with pytest.raises(InputError, match=f"at most the {CONTEXT} positions of the context, got"):
        generator.generate(sequence)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "at least one token"),
        ([VOCABULARY], f"token {VOCABULARY}: expected 0 to {VOCABULARY - 1}"),
        ([-1], "token -1"),
        ([0] * (CONTEXT + 1), f"{CONTEXT} positions of the context, got {CONTEXT + 1}"),
    ],
)
def test_bad_prompts_are_refused_before_anything_runs(generator, tokens, message):
    sequence = generator.start()
    with pytest.raises(InputError, match=message):
        generator.generate(sequence, tokens)
    assert sequence.tokens == []


def test_text_needs_a_tokenizer(generator):
    with pytest.raises(InputError, match="no tokenizer"):
        generator.stream(generator.start(), "a")


def test_streamed_text_is_that_of_the_tokens():
    texts = parse_tokenizer(byte_tokenizer(), "test")
    generator = toy_generator(texts)
    sequence = generator.start()
    text = "".join(generator.stream(sequence, "\x03\x01\x04", 10))
    assert sequence.tokens[:3] == [3, 1, 4]
    assert text == texts.decode(sequence.tokens[3:])


@pytest.mark.parametrize("cut", ["prefill", "decode"])
def test_a_step_that_was_cut_short_is_not_gone_on_from(monkeypatch, tmp_path, cut):
    generator = toy_generator()
    sequence = generator.start()
    path = tmp_path / "saved"
    list(generator.generate(sequence, PROMPT, 2))
    step = {"prefill": sequence._prefill, "decode": sequence._decode}[cut]

    def interrupted(tokens, past):
        raise KeyboardInterrupt

    monkeypatch.setattr(step, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(generator.generate(sequence, [1, 2] if cut == "prefill" else [], 2))
    with pytest.raises(InputError, match="interrupted"):
        list(generator.generate(sequence, (), 1))
    with pytest.raises(InputError, match="interrupted"):
        generator.save(sequence, path)
    assert not path.exists()


def _rename_input(proto):
    proto.graph.input[0].name = "tokens"
    for node in proto.graph.node:
        node.input[:] = ["tokens" if name == "input_ids" else name for name in node.input]


def _set_states(text):
    def change(proto):
        for entry in proto.metadata_props:
            if entry.key == STATES_KEY:
                entry.value = text

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rename_input, "'input_ids'|'tokens'"),
        (_set_states("[]"), "not a step of a decoder"),
        (_set_states("nonsense"), "not JSON"),
        (_set_states("[" * 100_000), "not JSON"),
        (_set_states('[["cache.0.0.key"]]'), "expected a list"),
        (_set_states('{"cache.0.0.key": "next.0.0.key"}'), "expected a list"),
        (_set_states('[["cache.0.0.key", "logits"]]'), "another form"),
        (_set_states('[["nothing", "next.0.0.key"]]'), "no such input"),
        (_set_states(json.dumps([["cache.0.0.key", "next.0.0.key"]] * 2)), "given twice"),
    ],
)
def test_graphs_that_are_no_steps(change, message):
    with pytest.raises(InputError, match=message):
        toy_step(1, change)


@pytest.mark.parametrize("changes", [{"chunk": CHUNK + 1}, {"vocabulary": VOCABULARY + 1}])
def test_graphs_that_do_not_fit_the_record(changes):
    with pytest.raises(InputError, match="decoder: expected"):
        toy_generator(**changes)


def test_caches_are_changed_in_place(generator):
    sequence = generator.start()
    (state,) = sequence.states.values()
    before = state.copy()
    list(generator.generate(sequence, PROMPT, 1))
    assert not np.array_equal(before, state)
    assert generator.cache_bytes == state.nbytes
