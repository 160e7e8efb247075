"""Weights outside the model file: where they may be, and whether they are all there."""

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from graph_ir.errors import InputError
from graph_ir.tensor_checks import declared_bytes


def check_external_tensor(where: str, tensor: onnx.TensorProto, model_file: Path) -> Path:
    """Checks an external tensor's place and size without reading it.

    Args:
        where: file and tensor, for the message.
        tensor: one whose data is external.
        model_file: the data may not be outside its folder. Its location in the tensor becomes the
            absolute path that was checked.

    Returns:
        The data file.

    Raises:
        InputError: it escapes the folder, is missing, or is too short.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = _contained_path(where, location, model_file)
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(
            f"{where}: its data file {location!r} cannot be read: {error.strerror}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{where}: its data file {location!r} is not a file")
    needed = declared_bytes(where, tensor)
    offset = _byte_count(where, "offset", entries.get("offset", "0"))
    length = _byte_count(where, "length", entries.get("length", str(needed)))
    if tensor.HasField("raw_data") and tensor.raw_data:
        raise InputError(f"{where}: its data is declared external, but some is in the file")
    if length != needed:
        raise InputError(
            f"{where}: its shape and type need {needed} bytes, but {length} are declared"
        )
    if offset + length > status.st_size:
        raise InputError(
            f"{where}: needs bytes {offset} to {offset + length} of {location!r}, "
            f"which has {status.st_size}"
        )
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = os.path.realpath(path)
    return path


def _contained_path(where: str, location: str, model_file: Path) -> Path:
    """The file that a location names, refused where it leaves the model's folder.

    A download cache may hold links to the model and its data, which then are side by side
    where the links lead.
    """
    windows = PureWindowsPath(location)
    if not location or "\0" in location:
        raise InputError(f"{where}: external data without a file name")
    if PurePosixPath(location).is_absolute() or windows.is_absolute() or windows.drive:
        raise InputError(f"{where}: its data file {location!r} is an absolute path")
    if ".." in PurePosixPath(location).parts or ".." in windows.parts:
        raise InputError(f"{where}: its data file {location!r} leaves the model's folder")
    path = model_file.parent / location
    real = os.path.realpath(path)
    roots = (os.path.realpath(model_file.parent), os.path.dirname(os.path.realpath(model_file)))
    if not any(os.path.commonpath([root, real]) == root for root in roots):
        raise InputError(f"{where}: its data file {location!r} is a link out of the folder")
    return path


def _byte_count(where: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InputError(f"{where}: {key} of its external data is {text!r}, expected a number")
    return int(text)
