"""Put a finished folder in the place of another in one step.

On Linux `renameat2(RENAME_EXCHANGE)` swaps two names atomically: at every moment the
destination is the old folder or the new one, whole. Where the kernel or the file system does
not offer it, two renames do: between them the destination is absent, and the old folder lies
whole under a sibling name that `restore_interrupted` puts back.
"""

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP)


def replace_folder(new: Path, out: Path, aside: Path) -> Path | None:
    """Give the folder `new` the name `out`.

    Args:
        new: a complete folder beside `out`.
        out: its destination, a folder or absent.
        aside: an unused sibling name.

    Returns:
        Where the old folder lies now (`new` or `aside`), or None where there was none.

    Raises:
        OSError: nothing was changed.
    """
    if not os.path.lexists(out):
        _move_to_free_name(new, out)
        return None
    if _rename2(new, out, _RENAME_EXCHANGE):
        return new
    _exchange_in_two_steps(new, out, aside)
    return aside


def restore_interrupted(out: Path, aside: Path) -> bool:
    """Undo the first half of a two-step exchange that a crash cut short.

    Returns:
        True where `aside` was given its name `out` back.
    """
    if os.path.lexists(out) or not aside.is_dir():
        return False
    aside.rename(out)
    return True


def _exchange_in_two_steps(new: Path, out: Path, aside: Path) -> None:
    out.rename(aside)
    try:
        _move_to_free_name(new, out)
    except BaseException:
        restore_interrupted(out, aside)
        raise


def _move_to_free_name(source: Path, destination: Path) -> None:
    """Rename without replacing: a plain rename would silently take an empty folder's place."""
    if _rename2(source, destination, _RENAME_NOREPLACE):
        return
    if os.path.lexists(destination):
        raise FileExistsError(errno.EEXIST, "appeared meanwhile", str(destination))
    source.rename(destination)


def _rename2(source: Path, destination: Path, flags: int) -> bool:
    """`renameat2`; False where it does not exist here.

    Raises:
        OSError: it exists and failed.
    """
    if not sys.platform.startswith("linux"):
        return False
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_int
    result: int = function(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(destination), flags
    )
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(destination))
