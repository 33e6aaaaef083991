"""GGUF version 3: a small writer and reader, for F32, F16 and Q8_0 tensors."""

import struct
from pathlib import Path

import numpy as np

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
UINT32, FLOAT32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
INT32 = 5
F32, F16, Q8_0 = 0, 1, 8
FLOATS = {F32: "<f4", F16: "<f2"}
BLOCK = 32  # weights that share one f16 scale in Q8_0


def quantize_q8_0(matrix: np.ndarray) -> bytes:
    blocks = matrix.astype(np.float32).reshape(-1, BLOCK)
    scale = (np.abs(blocks).max(1, keepdims=True) / 127).astype(np.float16)
    safe = np.where(scale == 0, 1, scale).astype(np.float32)
    codes = np.clip(np.rint(blocks / safe), -127, 127).astype(np.int8)
    packed = np.empty(len(blocks), dtype=[("scale", "<f2"), ("codes", "i1", BLOCK)])
    packed["scale"], packed["codes"] = scale[:, 0], codes
    return packed.tobytes()


def dequantize_q8_0(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    packed = np.frombuffer(data, dtype=[("scale", "<f2"), ("codes", "i1", BLOCK)])
    return (packed["codes"].astype(np.float32) * packed["scale"].astype(np.float32)[:, None]).reshape(shape)


def pack_string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def pack_value(value: object) -> bytes:
    """Type tag and value; ints are stored as UINT32, lists of ints as INT32."""
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + pack_string(value)
    if isinstance(value, list) and isinstance(value[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(pack_string, value))
    if isinstance(value, list):
        return struct.pack("<IIQ", ARRAY, INT32, len(value)) + np.asarray(value, "<i4").tobytes()
    raise TypeError(f"no GGUF type for {type(value)}")


def pad(size: int) -> int:
    return -size % ALIGNMENT


def write(path: Path, metadata: dict[str, object], tensors: dict[str, np.ndarray], matrices: int = Q8_0) -> None:
    """Matrices become Q8_0 or F16, vectors F32. numpy shapes [rows, columns] are written fastest dimension first."""
    header = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    header += [pack_string(key) + pack_value(value) for key, value in metadata.items()]
    body: list[bytes] = []
    offset = 0
    for name, array in tensors.items():
        kind = matrices if array.ndim == 2 else F32
        data = quantize_q8_0(array) if kind == Q8_0 else array.astype(FLOATS[kind]).tobytes()
        header.append(pack_string(name) + struct.pack("<I", array.ndim)
                      + b"".join(struct.pack("<Q", n) for n in reversed(array.shape)) + struct.pack("<IQ", kind, offset))
        body.append(data + bytes(pad(len(data))))
        offset += len(body[-1])
    head = b"".join(header)
    path.write_bytes(head + bytes(pad(len(head))) + b"".join(body))


class Cursor:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str):
        value = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value[0] if len(value) == 1 else value

    def string(self) -> str:
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind: int):
        if kind == ARRAY:
            inner, count = self.take("IQ")
            return [self.value(inner) for _ in range(count)]
        return self.string() if kind == STRING else self.take({UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?"}[kind])


def read(path: Path) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Metadata and tensors, dequantised to f32."""
    cursor = Cursor(path.read_bytes())
    magic, version, num_tensors, num_keys = cursor.take("4sIQQ")
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"{path}: not a GGUF file of version {VERSION}")
    metadata = {}
    for _ in range(num_keys):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.take("I"))
    entries = []
    for _ in range(num_tensors):
        name = cursor.string()
        shape = tuple(cursor.take("Q") for _ in range(cursor.take("I")))[::-1]
        entries.append((name, shape, *cursor.take("IQ")))
    start = cursor.at + pad(cursor.at)
    tensors = {}
    for name, shape, kind, offset in entries:
        count = int(np.prod(shape))
        size = count // BLOCK * (BLOCK + 2) if kind == Q8_0 else np.dtype(FLOATS[kind]).itemsize * count
        data = cursor.data[start + offset:start + offset + size]
        tensors[name] = dequantize_q8_0(data, shape) if kind == Q8_0 else np.frombuffer(data, FLOATS[kind]).astype("<f4").reshape(shape)
    return metadata, tensors
