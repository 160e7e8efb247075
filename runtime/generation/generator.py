"""`Generator`: text from an artifact, token by token, with caches as small as they were compiled.

>>> generator = open_generator(load_artifact(Path("out.egrl")))
>>> sequence = generator.start()
>>> for text in generator.stream(sequence, "Once upon a time", max_tokens=64):
...     print(text, end="")
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from graph_ir.errors import InputError
from runtime.generation.choosing import Choice, check_choice, open_choice
from runtime.generation.record import DECODE, PREFILL, TOKENIZER_FILE, DecoderRecord
from runtime.generation.sampling import GREEDY, Sampling, choose
from runtime.generation.saved import Saved, execution_digest, read_sequence, save_sequence
from runtime.generation.sequence import TextSequence
from runtime.generation.step import StepGraph, open_step
from runtime.generation.tokenizer import TextStream, Tokenizer, check_tokens, read_tokenizer
from runtime.load import Artifact


class Generator:
    """The graphs of a decoder, opened once; any number of sequences run through them.

    Sequences do not know of each other and may take turns.

    Args:
        prefill: the graph of many rows.
        decode: the graph of one row, with the same states.
        record: what the manifest says.
        tokenizer: None where the artifact has none; then there are tokens and no texts.
        digest: of the artifact, which saved sessions carry.
        choice: made of a prompt, between the two; None where they have the same states.

    Raises:
        InputError: the graphs do not belong together, or not to the record.
    """

    def __init__(
        self,
        prefill: StepGraph,
        decode: StepGraph,
        record: DecoderRecord,
        tokenizer: Tokenizer | None,
        digest: str,
        choice: Choice | None = None,
    ) -> None:
        check_graphs(prefill, decode, record, choice)
        self._choice = choice
        self._prefill = prefill
        self._decode = decode
        self._digest = digest
        self.record = record
        self.tokenizer = tokenizer

    @property
    def cache_bytes(self) -> int:
        """Of one sequence; of a prompt that positions are chosen of, once it has been read."""
        return sum(form.size_bytes for form in self._decode.states)

    def start(self) -> TextSequence:
        """A new sequence."""
        return TextSequence(self._prefill, self._decode, choice=self._choice)

    def generate(
        self,
        sequence: TextSequence,
        tokens: Sequence[int] = (),
        max_tokens: int = 128,
        sampling: Sampling = GREEDY,
    ) -> Iterator[int]:
        """Feed a prompt, then choose token after token.

        It ends at a token that ends a text, which is the last one given, after `max_tokens`, or
        where the context is full; `sequence.finish` says why. Whatever was given is part of the
        sequence, also if the rest is never asked for.

        Args:
            sequence: goes on after what it has.
            tokens: of the prompt; may be empty where the sequence has something.
            max_tokens: at most this many.
            sampling: how they are chosen.

        Raises:
            InputError: nothing to go on from, an unknown token, or more than the context holds.
        """
        context = sequence.most_positions(self.record.context)
        check_tokens(tokens, self.record.vocabulary)
        if not tokens and not sequence.tokens:
            raise InputError("prompt: expected at least one token, got none")
        length = len(sequence.tokens) + len(tokens)
        if length > context:
            raise InputError(
                f"prompt: expected at most the {context} positions of the context, got {length}"
                + (f" with the {len(sequence.tokens)} before" if sequence.tokens else "")
            )
        sequence.tokens.extend(tokens)
        return self._chosen(sequence, max_tokens, sampling)

    def _chosen(self, sequence: TextSequence, max_tokens: int, sampling: Sampling) -> Iterator[int]:
        sequence.finish = ""
        for _ in range(max_tokens):
            position = len(sequence.tokens)
            if position > sequence.most_positions(self.record.context):
                sequence.finish = "context"
                return
            token = choose(sequence.advance(), sampling, position)
            sequence.tokens.append(token)
            if token in self.record.eos:
                sequence.finish = "eos"
            yield token
            if sequence.finish:
                return
        sequence.finish = "length"

    def stream(
        self,
        sequence: TextSequence,
        prompt: str = "",
        max_tokens: int = 128,
        sampling: Sampling = GREEDY,
    ) -> Iterator[str]:
        """As `generate`, with texts: pieces of whole characters, not necessarily of one token.

        Raises:
            InputError: as `generate`, or the artifact has no tokenizer.
        """
        tokenizer = self.texts()
        begins = not sequence.tokens
        tokens = tokenizer.encode(prompt, begins) if prompt else []
        chosen = self.generate(sequence, tokens, max_tokens, sampling)
        return _texts(chosen, TextStream(tokenizer, sequence.tokens))

    def texts(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            InputError: the artifact has none.
        """
        if self.tokenizer is None:
            raise InputError("prompt: the artifact has no tokenizer; give and take tokens instead")
        return self.tokenizer

    def save(self, sequence: TextSequence, path: Path) -> None:
        """Write a sequence to a file in one step.

        Raises:
            InputError: the file cannot be written, or a step of the sequence was cut short.
        """
        if not sequence.whole:
            raise InputError(f"{path}: not written: a step of the sequence was interrupted")
        saved = Saved(tuple(sequence.tokens), sequence.fed, sequence.states, sequence.dropped)
        save_sequence(path, saved, self._digest)

    def resume(self, path: Path) -> TextSequence:
        """The sequence in a file; it goes on as if it had never stopped.

        Raises:
            InputError: not a saved session, one of another artifact, or a damaged one.
        """
        saved = read_sequence(
            path,
            self._digest,
            self._decode.states,
            self.record.vocabulary,
            self.record.context,
            self.record.kv_keep,
        )
        return TextSequence(
            self._prefill,
            self._decode,
            saved.tokens,
            saved.fed,
            saved.states,
            self._choice,
            saved.dropped,
        )


def open_generator(artifact: Artifact, threads: int | None = None) -> Generator:
    """Open the graphs and the tokenizer of an artifact.

    Args:
        artifact: as `verify_artifact` or `load_artifact` gave it.
        threads: of onnxruntime; None takes the manifest's number, 0 leaves it to onnxruntime.

    Raises:
        InputError: it is no decoder's, or something of it is damaged.
    """
    record = decoder_record(artifact)
    has_texts = TOKENIZER_FILE in artifact.manifest.files
    return Generator(
        open_step(artifact, PREFILL, threads),
        open_step(artifact, DECODE, threads),
        record,
        read_tokenizer(artifact.path / TOKENIZER_FILE) if has_texts else None,
        execution_digest(artifact.manifest),
        open_choice(artifact, record, threads),
    )


def decoder_record(artifact: Artifact) -> DecoderRecord:
    """What the manifest says about the decoder.

    Raises:
        InputError: the artifact is no decoder's.
    """
    record = artifact.manifest.decoder
    if not isinstance(record, DecoderRecord):
        raise InputError(
            f"{artifact.path}: expected the artifact of a decoder (egrl compile --decode), got "
            f"one with {', '.join(artifact.manifest.graphs)}; run it with egrl run"
        )
    return record


def check_graphs(
    prefill: StepGraph, decode: StepGraph, record: DecoderRecord, choice: Choice | None = None
) -> None:
    """Compare the graphs with each other and with the record.

    Raises:
        InputError: they differ.
    """
    if decode.rows != 1 or prefill.rows != record.chunk or not prefill.counted:
        raise InputError(
            f"decoder: expected graphs of {record.chunk} rows and of 1, got {prefill.rows} "
            f"and {decode.rows}"
        )
    check_choice(choice, prefill, decode)
    forms = [{form.input: form for form in graph.states} for graph in (prefill, decode)]
    if choice is None and forms[0] != forms[1]:
        raise InputError("decoder: its two graphs have different states")
    for graph in (prefill, decode):
        if graph.vocabulary != record.vocabulary:
            raise InputError(
                f"decoder: expected {record.vocabulary} logits, got {graph.vocabulary}"
            )


def _texts(chosen: Iterator[int], stream: TextStream) -> Iterator[str]:
    for token in chosen:
        text = stream.push(token)
        if text:
            yield text
    rest = stream.rest()
    if rest:
        yield rest
