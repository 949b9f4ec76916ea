"""Poison for one format: what says it is ours and is not is refused in one line, quickly, in little memory."""

import copy
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pmmsynth.model import CARD, WEIGHTS
from pmmsynth.store import IMAGES, MASKS, RECORD
from pmmsynth.train.checkpoint import LAST
from sound_files import LOADERS, numpy_file, refused, torch_file

Poison = Callable[[bytes], bytes]
"""What to make of the sound file's bytes."""


def with_header(header: object, data: bytes = bytes(16), length: int | None = None) -> Poison:
    """A safetensors file of this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda _: struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, shape: tuple[int, ...] = (2,), kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


SAFETENSORS = {
    "header of 2**63": with_header({}, length=2**63),
    "header of 2**64 - 1": with_header({}, length=2**64 - 1),
    "header longer than the file": with_header({}, length=1000),
    "header that is no table": with_header([1]),
    "header of lists in lists": with_header(b'{"a":' + b"[" * 10_000),
    "more than there is": with_header({"a": tensor(0, 2**40, (2**38,))}),
    "shape without end": with_header({"a": tensor(0, 8, (2**40, 2**40))}),
    "negative shape": with_header({"a": tensor(0, 8, (-2,))}),
    "overlap": with_header({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
    "hole": with_header({"a": tensor(0, 8), "b": tensor(12, 20)}, bytes(20)),
    "backwards": with_header({"a": tensor(8, 0)}),
    "numbers nobody knows": with_header({"a": tensor(0, 1, kind="F4")}, b"\0"),
    "less than the card says": with_header({"a": tensor(0, 8)}, bytes(8)),
}


def card_with(**fields: object) -> Poison:
    return lambda sound: json.dumps({**json.loads(sound), **fields}).encode()


def renamed(old: str, new: str | int) -> Poison:
    return lambda sound: sound.replace(json.dumps(old).encode(), json.dumps(new).encode())


def numbered(old: int, new: int) -> Poison:
    return lambda sound: sound.replace(b'"id": %d' % old, b'"id": %d' % new)


CARDS = {
    "modality that leads elsewhere": renamed("ADC", "../../../up"),
    "modality of another name": renamed("ADC", "adc"),
    "dataset number without end": numbered(1, 10**30),
    "negative dataset number": numbered(1, -1),
    "dataset number twice": numbered(1, 0),
    "lists in lists": lambda sound: sound.replace(b'"training": {', b'"training": {"a": ' + b"[" * 100_000),
    "weight that is no number": card_with(shrinkage={"T1->T2": {"weight": float("nan"), "regression": {}}}),
    "giant": card_with(architecture={"width": 2**60}),
}


def unpacked(sound: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def packed(entries: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_pickle(content: bytes) -> Poison:
    return lambda sound: packed(unpacked(sound) | {"archive/data.pkl": content})


def one_place_twice(sound: bytes) -> bytes:
    """A second name for the bytes of another entry: unpacks to more than there is."""
    buffer = io.BytesIO(sound)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/new", b"")
        for number in range(1000):
            again = copy.copy(archive.getinfo("archive/data/0"))
            again.filename = f"archive/data/again{number}"
            archive.filelist.append(again)
    return buffer.getvalue()


def grown(sound: bytes) -> bytes:
    """The pickle asks for two gigabytes of every tensor's storage of which the file has a few bytes."""
    entries = unpacked(sound)
    changed = entries["archive/data.pkl"].replace(b"K\x10tq", b"J\x00\x00\x00\x20tq")
    assert changed != entries["archive/data.pkl"]
    return packed(entries | {"archive/data.pkl": changed})


def with_state(change: Callable[[dict[str, Any]], object]) -> Poison:
    def poison(sound: bytes) -> bytes:
        saved = torch.load(io.BytesIO(sound), weights_only=True)
        change(saved)
        return torch_file(saved)

    return poison


def first(table: dict[str, torch.Tensor]) -> str:
    return min(table)


def moments(saved: dict[str, Any]) -> dict[str, torch.Tensor]:
    return saved["generator_optimizer"]["state"][0]


CHECKPOINTS = {
    "bomb": lambda sound: packed(unpacked(sound) | {"archive/data/bomb": bytes(2**26)}, zipfile.ZIP_DEFLATED),
    "one place twice": one_place_twice,
    "more than there is": grown,
    "asks for memory": with_pickle(b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R."),
    "names by the stack": with_pickle(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."),
    "half a pickle": with_pickle(b"\x80\x02ccollections\n"),
    "a list": lambda _: torch_file([1, 2]),
    "a list for a table": with_state(lambda saved: saved.update(generator=[1])),
    "number for a tensor": with_state(lambda saved: saved["generator"].update({first(saved["generator"]): 1})),
    "no optimizer": with_state(lambda saved: saved.pop("generator_optimizer")),
    "one tensor gone": with_state(lambda saved: saved["generator"].pop(first(saved["generator"]))),
    "one more": with_state(lambda saved: saved["adversary"].update(more=torch.ones(1))),
    "half precision": with_state(lambda s: s["generator"].update({first(s["generator"]): torch.zeros(1).half()})),
    "weight that is no number": with_state(
        lambda saved: saved["generator"][first(saved["generator"])].fill_(torch.nan)
    ),
    "moment that is no number": with_state(lambda saved: moments(saved)["exp_avg"].fill_(torch.inf)),
    "moment of another shape": with_state(lambda saved: moments(saved).update(exp_avg=torch.zeros(1))),
    "moment of nobody": with_state(lambda s: s["generator_optimizer"]["state"].update({-1: moments(s)})),
    "huge by its strides": with_state(
        lambda s: s["generator"].update({first(s["generator"]): torch.zeros(1).expand(10**12)})
    ),
    "negative epoch": with_state(lambda saved: saved["progress"].update(epoch=-1)),
    "epoch in words": with_state(lambda saved: saved["progress"].update(epoch="two")),
    "no progress": with_state(lambda saved: saved.pop("progress")),
}


def numpy_header(text: str, data: bytes = bytes(100)) -> Poison:
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return lambda _: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def numpy_table(kind: str, shape: str) -> Poison:
    return numpy_header(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}")


def as_array(change: Callable[[np.ndarray], np.ndarray]) -> Poison:
    return lambda sound: numpy_file(np.save, change(np.load(io.BytesIO(sound))))


ARRAYS = {
    "shape without end": numpy_table("'<f2'", "(2, 1000000, 1000000, 1000000)"),
    "shape beyond 64 bits": numpy_table("'<f2'", "(4611686018427387904, 4611686018427387904)"),
    "negative shape": numpy_table("'<f2'", "(2, -10, 32, 32)"),
    "objects": numpy_table("'|O'", "(2, 10, 32, 32)"),
    "code in the header": numpy_header("__import__('os').mkdir('sang')"),
    "half a header": numpy_header("((((((" * 50),
    "header of minus signs": numpy_header("-" * 9000 + "1"),
    "header of 60 kB": numpy_table("'<f2'", "(" + "1, " * 20_000 + ")"),
    "truncated": lambda sound: sound[:-7],
    "another shape": as_array(lambda array: array[:, :-1]),
    "one modality less": as_array(lambda array: array[:1]),
    "other numbers": as_array(lambda array: array.astype(np.float64)),
    "records": as_array(lambda array: np.zeros(array.shape, [("a", "<f2")])),
}
IMAGE_ARRAYS = {
    "not a number": as_array(lambda array: np.where(array > 0.1, np.float16("nan"), array)),
    "without end": as_array(lambda array: np.where(array > 0.1, np.float16("inf"), array)),
    "outside 0 to 1": as_array(lambda array: array * np.float16(100)),
}
CASES = {
    "name that leads elsewhere": card_with(case="../../up"),
    "dataset that leads elsewhere": card_with(dataset="../A"),
    "another dataset": card_with(dataset="B"),
    "modality that leads elsewhere": renamed("T2", "../up"),
    "more modalities than images": card_with(
        modalities=["T1", "T2", "FLAIR"], intensity={m: {"kind": "mean", "scale": 1} for m in ("T1", "T2", "FLAIR")}
    ),
    "a modality twice": card_with(modalities=["T1", "T1"]),
    "no intensity": card_with(intensity={}),
    "too many slices": card_with(brain_fraction=[0.5] * 1000),
    "giant": card_with(prepared={"shape": [10**12, 10**12, 10], "affine": np.eye(4).tolist()}),
    "negative": card_with(prepared={"shape": [-32, -32, 10], "affine": np.eye(4).tolist()}),
    "ragged affine": card_with(native={"shape": [32, 32, 10], "affine": [[1], [1, 2], [], []]}),
    "affine that is no number": card_with(native={"shape": [32, 32, 10], "affine": [[float("nan")] * 4] * 4}),
    "unknown key": card_with(code="import os"),
}
STORES = {
    "dataset that leads elsewhere": renamed("A", "../A"),
    "hidden dataset": renamed("A", ".A"),
    "dataset number without end": numbered(0, 10**30),
    "dataset number 1": numbered(0, 1),
    "giant": card_with(matrix=4 * 10**12),
    "other pixels than the cases": card_with(matrix=64),
    "no size": card_with(inplane_mm=float("nan")),
    "modality that leads elsewhere": card_with(modalities=["T1", "../up"]),
}
MANIFESTS = {
    "name that leads elsewhere": renamed("case00", "../../case00"),
    "absolute name": renamed("case00", "/etc/passwd"),
    "modality that leads elsewhere": renamed("T2", "../T2"),
    "another line": lambda sound: sound + b"{}\n",
}
DATASETS = {
    "numbers for names": renamed("A", 7),
    "a list": lambda _: b"[]",
}
COHORTS = {
    "lists in lists": lambda _: b"dataset = " + b"[" * 100_000,
    "tables in tables": lambda _: b"dataset = " + b"{a=" * 100_000,
    "a long number": lambda sound: b"seed = " + b"9" * 10_000 + b"\n" + sound,
    "name that leads elsewhere": lambda sound: sound.replace(b'"A"', b'"../A"'),
    "unknown key": lambda sound: b'code = "import os"\n' + sound,
}


def replaced(old: str, new: str) -> Poison:
    return lambda sound: sound.replace(old.encode(), new.encode())


CONFIGS = {
    "lists in lists": replaced("seed = 0", "seed = " + "[" * 100_000),
    "a long number": replaced("seed = 0", "seed = " + "9" * 10_000),
    "seed beyond 64 bits": replaced("seed = 0", f"seed = {2**64}"),
    "negative seed": replaced("seed = 0", "seed = -1"),
    "rate that is no number": replaced("learning_rate = 0.002", "learning_rate = nan"),
    "beta of 1": replaced("0.999", "1.0"),
    "giant": replaced("discriminator_width = 4", f"discriminator_width = {2**40}"),
    "weight without end": replaced("synthesis = 100.0", "synthesis = inf"),
    "unknown key": replaced("seed = 0", "seed = 0\ncode = 'import os'"),
}


def header_with(place: int, kind: str, *values: float) -> Poison:
    """Numbers put into a NIfTI-1 header."""

    def poison(sound: bytes) -> bytes:
        content = bytearray(gzip.decompress(sound) if sound[:2] == b"\x1f\x8b" else sound)
        struct.pack_into(kind, content, place, *values)
        return gzip.compress(content, 1) if sound[:2] == b"\x1f\x8b" else bytes(content)

    return poison


def size(*shape: int) -> Poison:
    return header_with(40, "<8h", *shape)


def extended(offset: float, length: int) -> Poison:
    """Voxels at `offset`, an extension of this length before them."""
    return lambda sound: header_with(348, "<4b2i", 1, 0, 0, 0, length, 6)(header_with(108, "<f", offset)(sound))


def flipped(sound: bytes) -> bytes:
    """A bit of a voxel: gzip alone can tell."""
    content = bytearray(gzip.compress(gzip.decompress(sound), 0))
    content[len(content) // 2] ^= 1
    return bytes(content)


VOLUMES = {
    "280 terabytes": size(3, 32767, 32767, 32767, 1, 1, 1, 1),
    "two gigabytes": size(3, 1000, 1000, 1200, 1, 1, 1, 1),
    "half a gigabyte that is not there": size(3, 1000, 1000, 250, 1, 1, 1, 1),
    "negative sizes": size(3, -40, -46, 10, 1, 1, 1, 1),
    "no size": size(3, 0, 46, 10, 1, 1, 1, 1),
    "nine axes": size(9, 40, 46, 10, 1, 1, 1, 1),
    "voxels at infinity": header_with(108, "<f", float("inf")),
    "voxels nowhere": header_with(108, "<f", float("nan")),
    "voxels before the file": header_with(108, "<f", -1e9),
    "voxels of no kind": header_with(70, "<2h", 9999, 32),
    "voxels of 128 bits": header_with(70, "<2h", 1536, 128),
    "long extension": extended(2.0**30, 2**30),
    "negative extension": extended(1024.0, -16),
    "affine that is no number": header_with(280, "<12f", *[float("nan")] * 12),
}
ZIPPED = {
    "bomb": lambda sound: gzip.compress(gzip.decompress(sound) + bytes(2**25), 1),
    "bomb cut short": lambda sound: gzip.compress(gzip.decompress(sound) + bytes(2**25), 1)[:-9],
    "flipped bit": flipped,
    "no checksum": lambda sound: sound[:-8],
}
SPECIAL: dict[str, dict[str, Poison]] = {
    WEIGHTS: SAFETENSORS,
    CARD: CARDS,
    LAST: CHECKPOINTS,
    IMAGES: ARRAYS | IMAGE_ARRAYS,
    MASKS: ARRAYS,
    RECORD: CASES,
    "store.json": STORES,
    "manifest.jsonl": MANIFESTS,
    "datasets.json": DATASETS,
    "cohorts.toml": COHORTS,
    "config.toml": CONFIGS,
    "t1.nii": VOLUMES,
    "t1.nii.gz": VOLUMES | ZIPPED,
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, table in SPECIAL.items() for kind in table])
def test_what_says_it_is_ours_and_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path, load = LOADERS[name](tmp_path)
    sound = path.read_bytes()
    path.write_bytes(SPECIAL[name][kind](sound))
    assert path.read_bytes() != sound
    refused(path, load)
    assert not (tmp_path / "sang").exists()
    assert capfd.readouterr() == ("", "")  # readers have no lines of their own
