"""The two kinds of file that a model is saved in: a header, which is bytes, and named arrays of float64 or float32.

.npz is a zip that NumPy can read, written and read here member by member; nothing in it is compressed, unpickled or
evaluated, and a member is read only if it has the size that it must have. .safetensors is written and taken apart by
the safetensors package. What the header means is _header.py's subject.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ._header import LARGEST_HEADER, TYPES, Array, FormatError, Listed, bytes_of, shortened

HEADER = "pygrad.json"
"""The header's name in a zip; in the metadata of safetensors it is 'pygrad'."""

_STARTS = {
    b"PK": "a zip or .npz file",
    b"\x80": "a Python pickle, which pygrad never loads",
    b"\x93NUMPY": "a single NumPy array",
    b"\x89PNG": "a PNG image",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF",
}


@dataclass
class Contents:
    """An open file."""

    header: bytes
    names: set[str]
    array: Callable[[str, Listed], Array]
    """The array of a name, shape and dtype. Raises FormatError unless just that is in the file."""


def _kind(start: bytes) -> str:
    """What a file that begins so seems to be, for a message."""
    for known, kind in _STARTS.items():
        if start.startswith(known):
            return kind
    if start[8:9] == b"{":
        return "a .safetensors file"
    return "text" if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start) else "something else"


def _not_listed(name: str, listed: Listed) -> FormatError:
    return FormatError(f"its array {shortened(name)} is not the {listed.dtype} array that its header lists")


def _array(data: bytes | memoryview, listed: Listed) -> Array:
    """The array of these bytes, which are as many as it has."""
    array: Array = np.frombuffer(data, TYPES[listed.dtype]).reshape(listed.shape)
    return array.astype(listed.dtype)


# ---- .npz ----

_END = struct.Struct("<4s4H2LH")
"""The record at the end of a zip: signature, four counts, size and offset of the directory, length of a comment."""

_ZIP_ERRORS = (
    zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, LookupError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip


def _npy_header(listed: Listed) -> bytes:
    """What stands before the numbers of an array in .npy: format 1.0 of numpy.lib.format."""
    text = f"{{'descr': {TYPES[listed.dtype].str!r}, 'fortran_order': False, 'shape': {listed.shape!r}, }}"
    padded = text + " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode("ascii")


def _write_npz(file: BinaryIO, header: bytes, arrays: Mapping[str, Array]) -> None:
    def add(name: str, *parts: Any) -> None:
        member = zipfile.ZipInfo(name)  # of 1980: the same model gives the same file
        member.create_system = 3
        member.external_attr = 0o644 << 16
        archive.writestr(member, b"".join(parts))

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        add(HEADER, header)
        for name, array in arrays.items():
            add(f"{name}.npy", _npy_header(Listed(array.shape, array.dtype.name)), bytes_of(array))


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name: stored, each once, together no larger than the file, the first at its beginning."""
    members: dict[str, zipfile.ZipInfo] = {}
    left = size
    for member in archive.infolist():
        what = f"its member {shortened(member.filename)}"
        if member.filename in members:
            raise FormatError(f"{what} occurs twice")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~0x800:
            raise FormatError(f"{what} is compressed or encrypted, which pygrad does not do")
        left -= member.file_size
        if member.file_size != member.compress_size or left < 0:
            raise FormatError(f"{what} claims {member.file_size:,} bytes, which are not there")
        members[member.filename] = member
    if min((member.header_offset for member in members.values()), default=0) != 0:
        raise FormatError("something stands before its first member")
    return members


@contextlib.contextmanager
def _read_npz(path: str) -> Iterator[Contents]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        if not start.startswith(b"PK\x03\x04"):
            raise FormatError(f"it is no .npz file, but {_kind(start)}")
        file.seek(max(size - _END.size, 0))
        end = file.read()
        if len(end) != _END.size or not end.startswith(b"PK\x05\x06") or not end.endswith(b"\0\0"):
            raise FormatError("it is cut short, or has something after its end")
        try:
            archive = zipfile.ZipFile(file)
        except _ZIP_ERRORS as error:
            raise FormatError(f"its directory is damaged ({error or 'cut short'})") from None
        with archive:
            members = _members(archive, size)

            def read(name: str) -> bytes:
                try:
                    return archive.read(members[name])
                except _ZIP_ERRORS as error:
                    raise FormatError(f"its member {shortened(name)} is damaged ({error or 'cut short'})") from None

            def array(name: str, listed: Listed) -> Array:
                before, dtype = _npy_header(listed), TYPES[listed.dtype]
                if members[f"{name}.npy"].file_size != len(before) + dtype.itemsize * listed.size:
                    raise FormatError(f"its array {shortened(name)} has not the size of {listed.size:,} numbers")
                data = read(f"{name}.npy")
                if not data.startswith(before):
                    raise _not_listed(name, listed)
                return _array(memoryview(data)[len(before) :], listed)

            if HEADER not in members:
                raise FormatError(
                    f"it is a zip or .npz file that pygrad did not write: there is no {HEADER} in it"
                    " (np.load reads arrays; Module.load_state_dict takes them)"
                )
            if members[HEADER].file_size > LARGEST_HEADER:
                raise FormatError(f"its header is larger than {LARGEST_HEADER:,} bytes")
            others = members.keys() - {HEADER}
            for name in others:
                if not name.endswith(".npy"):
                    raise FormatError(f"its member {shortened(name)} is no array")
            yield Contents(read(HEADER), {name.removesuffix(".npy") for name in others}, array)


# ---- .safetensors ----

_TENSOR_TYPES = {"float64": "F64", "float32": "F32"}


def _package() -> Any:
    try:
        return importlib.import_module("safetensors"), importlib.import_module("safetensors.numpy")
    except ImportError as error:
        raise ImportError(
            f".safetensors files need the package safetensors ({error}): pip install safetensors (an extra of pygrad)"
        ) from None


def _write_safetensors(file: BinaryIO, header: bytes, arrays: Mapping[str, Array]) -> None:
    _, numpy_part = _package()
    contiguous = {name: np.array(array, dtype=array.dtype.name, order="C") for name, array in arrays.items()}
    file.write(numpy_part.save(contiguous, {"pygrad": header.decode("ascii")}))


@contextlib.contextmanager
def _read_safetensors(path: str) -> Iterator[Contents]:
    package, _ = _package()
    with open(path, "rb") as file:  # the package would open it by its name, when it may be another file
        size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        length = int.from_bytes(start[:8], "little")
        if len(start) < 10 or length > size - 8 or start[8:9] != b"{":
            if start[8:9] == b"{":
                raise FormatError("it is cut short, or the length of its header is damaged")
            raise FormatError(f"it is no .safetensors file, but {_kind(start)}")
        if length > 3 * LARGEST_HEADER:
            raise FormatError(f"its header is larger than {3 * LARGEST_HEADER:,} bytes")
        data = start + file.read()
    try:
        tensors = dict(package.deserialize(data))
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (package.SafetensorError, ValueError, RecursionError) as error:
        raise FormatError(f"it is a damaged .safetensors file ({error})") from None
    if metadata.keys() != {"pygrad"}:
        raise FormatError("it is a .safetensors file that pygrad did not write: its metadata have no 'pygrad'")

    def array(name: str, listed: Listed) -> Array:
        found = tensors[name]
        if found["dtype"] != _TENSOR_TYPES[listed.dtype] or tuple(found["shape"]) != listed.shape:
            raise _not_listed(name, listed)
        return _array(found["data"], listed)

    yield Contents(metadata["pygrad"].encode("utf-8", "surrogatepass"), set(tensors), array)


# ---- by suffix ----


@dataclass
class Container:
    """How a kind of file is written and read."""

    write: Callable[[BinaryIO, bytes, Mapping[str, Array]], None]
    read: Callable[[str], contextlib.AbstractContextManager[Contents]]


_BY_SUFFIX = {
    ".npz": Container(_write_npz, _read_npz),
    ".safetensors": Container(_write_safetensors, _read_safetensors),
}


def container(path: str) -> Container:
    """The kind of file that a path's suffix names. Raises ValueError for another suffix."""
    suffix = os.path.splitext(path)[1]
    found = _BY_SUFFIX.get(suffix.lower())
    if found is None:
        raise ValueError(f"{path!r} must end in {' or '.join(_BY_SUFFIX)}, which is how it is saved; not in {suffix!r}")
    return found
