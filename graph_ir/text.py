"""How names and foreign error texts appear in a one-line message."""

_LONGEST_NAME = 120
_LONGEST_REASON = 300


def quoted(name: str) -> str:
    """A name from a file, quoted, on one line and of bounded length."""
    if len(name) > _LONGEST_NAME:
        name = name[:_LONGEST_NAME] + "..."
    return ascii(name) if not name.isprintable() else repr(name)


def reason_of(error: BaseException) -> str:
    """What another library's exception says, on one line and of bounded length."""
    reason = " ".join(str(error).split())
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + "..."
    return reason if reason.isprintable() else ascii(reason)[1:-1]
