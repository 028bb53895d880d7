"""The header of a saved model: JSON that says what the file holds, and carries everything but the arrays.

Its format version, what must be in it, the checksum over it and the arrays. Numbers keep every bit: a float that JSON
has no word for is written as its 64 bits. Knows no container (_containers.py) and no module (_architecture.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

TYPES: dict[str, np.dtype[Any]] = {"float64": np.dtype("<f8"), "float32": np.dtype("<f4")}
"""The dtypes of arrays by name, as they stand in a file. Only parameters may be of float32."""

FORMAT = "pygrad model"

VERSION = 1
"""The version of the format. A file of a later one is refused."""

LARGEST_HEADER = 2**25
"""Bytes of JSON that are read at most, and so written."""

_DEEPEST = 64
_LONGEST_INT = 1000

_FIELDS: dict[str, Any] = {
    "format": str,
    "version": int,
    "pygrad": str,
    "class": str,
    "architecture": (dict, type(None)),
    "undescribed": (str, type(None)),
    "loss": (str, type(None)),
    "arrays": list,
    "optimizer": (dict, type(None)),
    "history": (dict, type(None)),
    "extra": (dict, type(None)),
    "sha256": str,
}


class FormatError(ValueError):
    """A file that is not a model saved by pygrad, or not whole any more. Says which file, and what is wrong with it."""


class Listed(NamedTuple):
    """What a header says of an array."""

    shape: tuple[int, ...]
    dtype: str
    """A name of TYPES."""

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def bytes_of(array: Array) -> bytes:
    """The numbers of an array, in C order, as they stand in a file."""
    return array.astype(TYPES[array.dtype.name], copy=False).tobytes()


# ---- names of arrays ----


def array_name(name: str) -> str:
    """A parameter's name as it stands in the file: letters, digits, '_', '-', '.', '~' as they are, others as %XX."""
    return "parameters/" + quote(name, safe="", errors="surrogatepass")


def parameter_name(name: str) -> str | None:
    """The parameter's name, if it is one that array_name gives."""
    if not name.startswith("parameters/"):
        return None
    found = unquote(name.removeprefix("parameters/"), errors="surrogatepass")
    return found if array_name(found) == name else None


# ---- Python objects as JSON ----


def packed(x: Any, what: str, arrays: dict[str, Array], group: str, depth: int = 0) -> Any:
    """x as what JSON holds; float64 arrays in it go into `arrays`, as '<group>/<number>', and are referred to.

    Raises TypeError that names `what` and the item which is neither a number, text, list, dict nor array.
    """
    if depth > _DEEPEST:
        raise ValueError(f"{what} is nested more than {_DEEPEST} deep")
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or isinstance(x, bool):
        return x
    if isinstance(x, str):
        return str.__str__(x)
    if isinstance(x, int):
        if len(format(abs(x), "x")) * 1.21 > _LONGEST_INT:
            raise ValueError(f"{what} has more than {_LONGEST_INT} digits")
        return int(x)
    if isinstance(x, float):
        return float(x) if np.isfinite(x) else {"$float": struct.pack(">d", x).hex()}
    if isinstance(x, np.ndarray):
        if x.dtype != np.float64:
            raise TypeError(f"{what} must be an array of float64, not of {x.dtype}")
        name = f"{group}/{len(arrays)}"
        arrays[name] = x
        return {"$array": name}
    if isinstance(x, (list, tuple)):
        return [packed(item, f"{what}[{i}]", arrays, group, depth + 1) for i, item in enumerate(x)]
    if isinstance(x, Mapping):
        for key in x:
            if not isinstance(key, str):
                raise TypeError(f"{what} has the key {key!r}: keys must be str, not {type(key).__name__}")
        items = {key: packed(item, f"{what}[{key!r}]", arrays, group, depth + 1) for key, item in x.items()}
        return {"$dict": [list(item) for item in items.items()]} if any(k.startswith("$") for k in items) else items
    raise TypeError(f"{what} is {x!r}, of type {type(x).__name__}, which cannot be saved")


def unpacked(x: Any, arrays: Mapping[str, Array], depth: int = 0) -> Any:
    """What was packed. Raises FormatError."""
    if depth > _DEEPEST:
        raise FormatError(f"its header is nested more than {_DEEPEST} deep")
    if isinstance(x, list):
        return [unpacked(item, arrays, depth + 1) for item in x]
    if not isinstance(x, dict):
        return x
    if not any(key.startswith("$") for key in x):
        return {key: unpacked(item, arrays, depth + 1) for key, item in x.items()}
    try:
        ((tag, content),) = x.items()
        if tag == "$float":
            (number,) = struct.unpack(">d", bytes.fromhex(content))
            return number
        if tag == "$array":
            return arrays[content]
        if tag == "$dict":
            return {str.__str__(key): unpacked(item, arrays, depth + 1) for key, item in content}
    except (TypeError, ValueError, KeyError, struct.error) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"its header has a malformed entry {shortened(x)}") from None
    raise FormatError(f"its header has an entry of unknown kind {shortened(x)}")


def shortened(x: Any) -> str:
    """repr(x), for a message."""
    text = repr(x)
    return text if len(text) <= 80 else f"{text[:77]}..."


# ---- the header ----


def _json(header: dict[str, Any]) -> bytes:
    """One text for one content, whatever it was read from; the order of keys is content."""
    return json.dumps(header, allow_nan=False, separators=(",", ":")).encode("ascii")


def _checksum(header: dict[str, Any], arrays: Mapping[str, Array]) -> str:
    """SHA-256 of the header without its checksum, then of the arrays' bytes in the header's order."""
    digest = hashlib.sha256(_json({key: item for key, item in header.items() if key != "sha256"}))
    for name, *_ in header["arrays"]:
        digest.update(bytes_of(arrays[name]))
    return digest.hexdigest()


def _is_possible(shape: Sequence[Any]) -> bool:
    """Whether NumPy can make an array of this shape, everywhere."""
    size = 1
    for n in shape:
        if type(n) is not int or n < 0:
            return False
        size *= max(n, 1)  # NumPy counts so too, for shapes with a 0
    return size <= 2**40 and len(shape) <= 32


def _entry(name: str, array: Array) -> list[Any]:
    if not _is_possible(array.shape):
        raise ValueError(f"the array {shortened(name)} has a shape that cannot be saved: {shortened(array.shape)}")
    dtype = array.dtype.name
    return [name, list(array.shape)] if dtype == "float64" else [name, list(array.shape), dtype]


def encoded(content: dict[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """The header's bytes. content: its fields, apart from those that this module fills in.

    Raises ValueError if it is too large, or an array has more than 32 axes.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "arrays": [_entry(name, array) for name, array in arrays.items()],
        **content,
    }
    data = _json({**header, "sha256": _checksum(header, arrays)})
    if len(data) > LARGEST_HEADER:
        raise ValueError(
            f"what goes beside the arrays is {len(data):,} bytes of JSON; at most {LARGEST_HEADER:,} can be saved"
        )
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INT + 1:
        raise ValueError("an integer is too long")
    return int(digits)


def _check_depth(header: Any) -> None:
    """Raises FormatError for more nesting than anything that was packed can have: what follows may recurse then."""
    level = [header]
    for _ in range(4 * _DEEPEST):
        level = [
            x
            for item in level
            for x in (item.values() if isinstance(item, dict) else item)
            if isinstance(x, (dict, list))
        ]
        if not level:
            return
    raise FormatError(f"its header is nested more than {4 * _DEEPEST} deep")


def decoded(data: bytes) -> dict[str, Any]:
    """The header, its fields checked for presence and type, not for their content.

    Raises FormatError.
    """
    try:
        header = json.loads(
            data.decode("ascii"), object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its header is not the JSON that pygrad writes ({shortened(str(error))})") from None
    if isinstance(header, dict):
        _check_depth(header)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FormatError(f"its header does not say that it is a {FORMAT}")
    version = header.get("version")
    if type(version) is int and version > VERSION:
        raise FormatError(
            f"it was written by a later pygrad (format version {version}; this one reads {VERSION}): upgrade pygrad"
        )
    if type(version) is not int or version != VERSION:
        raise FormatError(f"its format version is {version!r}, which there never was")
    for name, kind in _FIELDS.items():
        if name not in header or not isinstance(header[name], kind):
            raise FormatError(f"its header has no proper field {name!r}")
    if header.keys() != _FIELDS.keys():
        raise FormatError(f"its header has unknown fields {shortened(sorted(header.keys() - _FIELDS.keys()))}")
    return header


def listed(header: dict[str, Any]) -> dict[str, Listed]:
    """The arrays that the file must hold, by name. Raises FormatError for malformed entries."""
    found: dict[str, Listed] = {}
    for entry in header["arrays"]:
        try:
            name, shape, dtype = entry if len(entry) == 3 else (*entry, "float64")
            if type(name) is not str or name in found or not _is_possible(shape) or dtype not in TYPES:
                raise ValueError
        except (TypeError, ValueError):
            raise FormatError(f"its header lists an impossible array {shortened(entry)}") from None
        found[name] = Listed(tuple(shape), dtype)
    return found


def verify(header: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Raises FormatError if header or arrays are not those that the checksum was made of."""
    try:
        same = _checksum(header, arrays) == header["sha256"]
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise FormatError("its content does not match its checksum: it was altered, or damaged")
