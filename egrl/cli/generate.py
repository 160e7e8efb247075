"""`egrl generate`: text from the artifact of a decoder, as it comes."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import not_negative, positive_number, whole_number
from graph_ir.errors import InputError

if TYPE_CHECKING:
    from runtime.generation.generator import Generator
    from runtime.generation.sampling import Sampling
    from runtime.generation.sequence import TextSequence

MAX_PROMPT_BYTES = 64 << 20


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "generate",
        help="generate text with the artifact of a decoder",
        description="Continues a prompt token by token and prints the text as it comes. A model "
        "that was tuned on conversations expects its own marks around what a person says, for "
        "instance <|im_start|>user, a new line, the question, <|im_end|>, a new line, "
        "<|im_start|>assistant and a new line; special tokens in a prompt are recognised.",
    )
    parser.add_argument("artifact", type=Path, metavar="OUT.egrl")
    parser.add_argument("--prompt", metavar="TEXT", help="what to continue")
    parser.add_argument("--prompt-file", type=Path, metavar="F", help="file with the prompt, UTF-8")
    parser.add_argument(
        "--tokens", metavar="1,2,3", help="the prompt as tokens; what follows is printed so, too"
    )
    parser.add_argument(
        "--max-tokens", type=positive_number, default=128, metavar="N", help="default: 128"
    )
    parser.add_argument(
        "--temperature",
        type=not_negative,
        default=0.0,
        metavar="T",
        help="of the draws (default: 0, the likeliest token)",
    )
    parser.add_argument(
        "--top-p",
        type=not_negative,
        default=1.0,
        metavar="P",
        help="draw from the likeliest tokens that together have this probability (default: 1)",
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--session",
        type=Path,
        metavar="F",
        help="go on with the session in this file, or begin one; it is saved at the end",
    )
    parser.add_argument(
        "--threads", type=whole_number, metavar="N", help="of onnxruntime (default: the manifest's)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Generate."""
    check_writable(args.session)
    known = args.session is not None and args.session.exists()
    prompt = _prompt(args, known)

    import time

    from runtime.generation.generator import open_generator
    from runtime.generation.sampling import Sampling
    from runtime.load import verify_artifact

    sampling = Sampling(args.temperature, args.top_p, args.seed)
    generator = open_generator(verify_artifact(args.artifact), args.threads)
    sequence = generator.resume(args.session) if known else generator.start()
    before = len(sequence.tokens)
    pieces = _pieces(generator, sequence, prompt, args.max_tokens, sampling)
    prompted = len(sequence.tokens)
    moments = [time.perf_counter()]
    for piece in pieces:
        moments.append(time.perf_counter())
        if not args.json:
            print(piece, end="", flush=True)
    moments.append(time.perf_counter())
    if args.session is not None:
        generator.save(sequence, args.session)
    chosen = sequence.tokens[prompted:]
    first_s, rest_s = moments[1] - moments[0], moments[-1] - moments[1]
    if args.json:
        import msgspec

        texts = generator.tokenizer
        print(
            msgspec.json.encode(
                {
                    "text": None if texts is None else texts.decode(chosen),
                    "tokens": chosen,
                    "prompt_tokens": prompted - before,
                    "finish": sequence.finish,
                    "first_token_s": first_s,
                    "other_tokens_s": rest_s,
                    "cache_bytes": generator.cache_bytes,
                    "positions": len(sequence.tokens),
                    "context": generator.record.context,
                }
            ).decode()
        )
        return 0
    print()
    print(_summary(args, generator, sequence, len(chosen), first_s, rest_s), file=sys.stderr)
    return 0


def _prompt(args: argparse.Namespace, known: bool) -> "str | list[int]":
    """What to continue; empty to go on where a session ended.

    Raises:
        InputError: none or several are given, an empty one, or the session is unknown.
    """
    flags = {"--prompt": args.prompt, "--prompt-file": args.prompt_file, "--tokens": args.tokens}
    given = [flag for flag, value in flags.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]}: expected one of them, got both")
    if not given and args.session is None:
        raise InputError("--prompt: expected a text to continue (or --prompt-file, --tokens)")
    if not given and not known:
        raise InputError(
            f"--session {args.session}: no such session, and no --prompt to begin one with"
        )
    if not given:
        return ""
    if args.tokens is not None:
        return _tokens(args.tokens)
    text = args.prompt if args.prompt is not None else _read(args.prompt_file)
    if not text:
        raise InputError(f"{given[0]}: expected a text to continue, got an empty one")
    return str(text)


def _tokens(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isascii() or not part.isdecimal() or len(part) > 9:
            raise InputError(f"--tokens: expected whole numbers with commas between, got {part!r}")
    return [int(part) for part in parts]


def _read(path: Path) -> str:
    """The text of a file or a pipe."""
    with path.open("rb") as stream:
        data = stream.read(MAX_PROMPT_BYTES + 1)
    if len(data) > MAX_PROMPT_BYTES:
        raise InputError(f"{path}: expected at most {MAX_PROMPT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text: {error}") from error


def _pieces(
    generator: "Generator",
    sequence: "TextSequence",
    prompt: "str | list[int]",
    max_tokens: int,
    sampling: "Sampling",
) -> Iterator[str]:
    """Texts, or numbers where the prompt is tokens or the artifact has no tokenizer."""
    if isinstance(prompt, str) and (prompt or generator.tokenizer is not None):
        return generator.stream(sequence, prompt, max_tokens, sampling)
    tokens = [] if isinstance(prompt, str) else prompt
    chosen = generator.generate(sequence, tokens, max_tokens, sampling)
    return (f"{',' if at else ''}{token}" for at, token in enumerate(chosen))


def _summary(
    args: argparse.Namespace,
    generator: "Generator",
    sequence: "TextSequence",
    count: int,
    first_s: float,
    rest_s: float,
) -> str:
    """What a person wants to know when the text has ended."""
    from accelerator_sim.units import bytes_text

    ends = {
        "eos": "at the end of the text",
        "length": f"after --max-tokens {args.max_tokens}",
        "context": f"because the context of {generator.record.context} positions is full",
    }
    speed = f", then {(count - 1) / rest_s:.1f} a second" if count > 1 and rest_s > 0 else ""
    kept = "" if args.session is None else f"; session saved in {args.session}"
    return (
        f"[{count} tokens, the first after {first_s:.2f} s{speed}; "
        f"stopped {ends[sequence.finish]}; caches {bytes_text(generator.cache_bytes)}{kept}]"
    )
