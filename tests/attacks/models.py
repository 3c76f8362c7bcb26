"""Model folders from elsewhere: manifests that lie, parts that are something else, networks that do more."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as lite
from crash_operations import Thumbnail

from embedder.config.toml import read_config
from embedder.errors import ModelError
from embedder.export.formats import export_model
from embedder.export.quantize import quantize_model
from embedder.extractor import Extractor
from embedder.model_folder import MANIFEST, load_manifest, part_name, read_part, save_bundle
from enroll.cli.train import describe_training
from tests.attacks.outcomes import REFUSED, Attack, Payload, outcome

SIZE, DIM = Thumbnail.manifest.input_size, Thumbnail.manifest.dim
CONV, CUSTOM, RESHAPE = 3, 32, 22  # schema.fbs, BuiltinOperator


def network(
    shape: tuple[int, ...] = (1, SIZE, SIZE, 3),
    out: tuple[int, ...] = (1, DIM),
    code: int = RESHAPE,
    custom: str | None = None,
    inputs: tuple[int, ...] = (0,),
    buffer: int = 0,
    kind: int = 0,
    operators: int = 1,
) -> bytes:
    """A network of one operator, or none."""

    def tensor(dims: tuple[int, ...]) -> Any:
        made = lite.TensorT()
        made.shape, made.type, made.buffer, made.name = list(dims), kind, buffer, b"t"
        return made

    operator, operator_code, graph, model = (
        lite.OperatorT(),
        lite.OperatorCodeT(),
        lite.SubGraphT(),
        lite.ModelT(),
    )
    operator_code.builtinCode, operator_code.deprecatedBuiltinCode = code, min(code, 127)
    operator_code.customCode = custom
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, list(inputs), [1]
    graph.tensors, graph.inputs, graph.outputs = [tensor(shape), tensor(out)], [0], [1]
    graph.operators = [operator] * operators
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [operator_code]
    model.buffers = [lite.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def bundle(folder: Path, extractor: bytes = b"\x1c\0\0\0TFL3", weights: bytes = b"weights") -> Path:
    """A model folder whose digests fit."""
    digests = {
        "extractor": hashlib.sha256(extractor).hexdigest(),
        "weights": hashlib.sha256(weights).hexdigest(),
    }
    save_bundle(folder / "model", replace(Thumbnail.manifest, **digests), extractor, weights)
    return folder / "model"


def load(model: Path) -> None:
    """Read all of a model folder, and run it on two pictures."""
    extractor = Extractor.load(model, threads=1)
    extractor.embed([np.zeros((SIZE, SIZE, 3), np.uint8)] * 2)


def runs(make: Callable[[], bytes], folder: Path) -> str:
    """Load a folder whose network is something else."""
    return outcome(lambda: load(bundle(folder, make())))


def manifest(content: Callable[[Path], bytes], folder: Path) -> str:
    """Load a folder whose manifest is something else."""
    model = bundle(folder)
    (model / MANIFEST).write_bytes(content(folder))
    ended = outcome(lambda: load_manifest(model))
    assert not (folder / "mark").exists(), "code was run"
    return ended


def canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True)
    return (text + "\n").encode()


def forged(**changes: object) -> Callable[[Path], bytes]:
    """Fields that are changed, and a digest that fits."""
    content = {**json.loads(Thumbnail.manifest.to_bytes()), **changes}
    del content["digest"]
    return lambda _: canonical({**content, "digest": hashlib.sha256(canonical(content)).hexdigest()})


def numbered(number: bytes) -> bytes:
    """A record of training that JSON reads but that cannot be written again, and a digest that fits."""
    content = {**json.loads(Thumbnail.manifest.to_bytes()), "training": {"loss": "HERE"}}
    del content["digest"]
    body = canonical(content).replace(b'"HERE"', number)
    whole = canonical({**content, "digest": hashlib.sha256(body).hexdigest()})
    return whole.replace(b'"HERE"', number)


def doubled(_: Path) -> bytes:
    """Each key twice: parsers differ in which one counts."""
    whole = Thumbnail.manifest.to_bytes().decode()
    return whole.replace('"crop": "whole"', '"crop": "face",\n "crop": "whole"').encode()


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Payload(folder / "mark"))


def pickled_part(part: str, folder: Path) -> str:
    """A part that would run code if it were unpickled; weights are raw tensors, so they only lie there."""
    model = bundle(folder, **{part: pickle.dumps(Payload(folder / "mark"))})  # type: ignore[arg-type]
    ended = outcome(lambda: load(model))
    assert not (folder / "mark").exists(), "code was run"
    return ended


def changed_part(folder: Path) -> str:
    model = bundle(folder)
    (found,) = model.glob("weights-*")
    found.write_bytes(b"other weights")
    return outcome(lambda: read_part(model, load_manifest(model), "weights"))


def linked_part(folder: Path) -> str:
    """A part that is a link to someone else's file: nothing of it is given."""
    (folder / "secret").write_bytes(b"secret")
    model = bundle(folder)
    (found,) = model.glob("weights-*")
    found.unlink()
    found.symlink_to(folder / "secret")
    try:
        read_part(model, load_manifest(model), "weights")
    except ModelError as error:
        assert "secret" not in str(error)
        return REFUSED
    return "read"


def code(use: Callable[[Path, Path, str], object], folder: Path) -> str:
    """A file of Python in a model folder that its manifest and its train.toml name."""
    model = bundle(folder)
    own = model / "e.py"
    own.write_text(f"import pathlib\npathlib.Path({str(folder / 'mark')!r}).touch()\nf = None\n")
    lying = replace(load_manifest(model), trunk=f"{own}:f")  # all else fits, so that nothing else is refused
    (model / MANIFEST).write_bytes(lying.to_bytes())
    (model / "train.toml").write_text(f"trunk = {json.dumps(f'{own}:f')}\n")
    ended = outcome(lambda: use(model, folder / "made", f"{own}:f"))
    assert not (folder / "mark").exists(), "code was run"
    return ended


def exported(model: Path, to: Path) -> None:
    """Export a model whose network would run."""
    with patch("embedder.export.formats.Extractor"):
        export_model(model, to, "litert")


def climbing_part(folder: Path) -> str:
    """A digest that would lead out of the folder."""
    name = part_name("weights", "../../secret")
    assert "/" in name, "the attack is none"
    return manifest(forged(weights="../" * 16 + "x" * 16), folder)


def lying_record(folder: Path) -> str:
    """A record of training that is none."""
    model = bundle(folder)
    (model / MANIFEST).write_bytes(forged(training={"scores": [[]], "best_epoch": 7})(folder))
    return outcome(lambda: describe_training(load_manifest(model)))


def tensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def weights(content: bytes, folder: Path) -> str:
    """Raw tensors that lie about themselves, read as training on from a model reads them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    data = read_part(bundle(folder, weights=content), load_manifest(folder / "model"), "weights")
    try:
        load_tensors(data)
    except (SafetensorError, ValueError):
        return REFUSED
    return "read"


_OVERLAP = json.dumps(
    {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in ("a", "b")}
).encode()
_HUGE = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
_MANIFESTS: dict[str, Callable[[Path], bytes]] = {
    "a pickle as manifest": pickled,
    "a manifest 100,000 lists deep": lambda _: b"[" * 100_000,
    "a manifest 100,000 objects deep": lambda _: b'{"a":' * 100_000,
    "a manifest with keys twice": doubled,
    "a manifest of 5 MiB": lambda _: b" " * 5 * 2**20 + Thumbnail.manifest.to_bytes(),
    "a manifest with a number of a million digits": lambda _: b'{"format": ' + b"9" * 10**6 + b"}",
    "a manifest that is not UTF-8": lambda _: b'{"format": "\xff\xfe"}',
    "pictures of 10^9 pixels": forged(input_size=10**9),
    "vectors of 10^9 numbers": forged(dim=10**9),
    "distances that are no numbers": lambda _: Thumbnail.manifest.to_bytes().replace(b"null", b"NaN"),
    "distances of strangers without end": forged(strangers={"mean": 1e999}),
    "another format": forged(format=10**6),
    "a field more": forged(run="rm -rf /"),
    "a record of training with an infinite number": lambda _: numbered(b"1e999"),
    "a record of training with half a letter": lambda _: numbered(rb'"\ud800"'),
    "a detector from a module of its own": forged(detector="os:system"),
}
_NETWORKS: dict[str, Callable[[], bytes]] = {
    "a network that is text": lambda: b"#!/bin/sh\ntouch mark\n",
    "an empty network": lambda: b"",
    "a network without anything but its mark": lambda: b"\x1c\0\0\0TFL3" + bytes(64),
    "a network of noise": lambda: b"\x1c\0\0\0TFL3" + bytes(range(256)) * 16,
    "a network cut in the middle": lambda: (whole := network())[: len(whole) // 2],
    "a network for other pictures": lambda: network(shape=(1, 8, 8, 3)),
    "a network that gives longer vectors": lambda: network(out=(1, DIM + 1)),
    "a network for pictures of no size": lambda: network(shape=(1, 0, 0, 3)),
    "a network for pictures of 2^62 pixels": lambda: network(shape=(1, 2**31 - 1, 2**31 - 1, 3)),
    "a network for pictures of negative size": lambda: network(shape=(1, -5, -5, 3)),
    "a network of strings": lambda: network(kind=5),
    "an operator of someone's own": lambda: network(code=CUSTOM, custom="Evil"),
    "an operator of TensorFlow that reads files": lambda: network(code=CUSTOM, custom="FlexReadFile"),
    "an operator that does not exist": lambda: network(code=9999),
    "an operator on a tensor that does not exist": lambda: network(inputs=(12_345,)),
    "an operator on a tensor before the first": lambda: network(inputs=(-77,)),
    "a network that computes nothing": lambda: network(operators=0),
    "a convolution without weights": lambda: network(code=CONV),
    "a tensor in a buffer that does not exist": lambda: network(buffer=4_000_000_000),
}
_USES: dict[str, Callable[[Path, Path, str], object]] = {
    "quantize": lambda model, to, _: quantize_model(model, to, "int8"),
    "export": lambda model, to, _: exported(model, to),
    "a train.toml's trunk": lambda model, *_: read_config(model / "train.toml", {}),
    "a train.toml's head": lambda model, _, own: read_config(_toml(model, "head", own), {}),
    "a train.toml's loss": lambda model, _, own: read_config(_toml(model, "loss", own), {}),
}


def _toml(model: Path, option: str, own: str) -> Path:
    (model / "train.toml").write_text(f"{option} = {json.dumps(own)}\n")
    return model / "train.toml"


ATTACKS: dict[str, tuple[Attack, str]] = {
    **{name: (partial(manifest, content), REFUSED) for name, content in _MANIFESTS.items()},
    **{name: (partial(runs, make), REFUSED) for name, make in _NETWORKS.items()},
    "a pickle as network": (partial(pickled_part, "extractor"), REFUSED),
    "a pickle as weights": (partial(pickled_part, "weights"), REFUSED),
    "weights of another model": (changed_part, REFUSED),
    "weights that are a link to a secret": (linked_part, REFUSED),
    "a digest that leads out of the folder": (climbing_part, REFUSED),
    **{f"code for {name}": (partial(code, use), REFUSED) for name, use in _USES.items()},
    "a record of training that lies": (lying_record, REFUSED),
    "tensors in one place": (partial(weights, tensors(_OVERLAP, bytes(16))), REFUSED),
    "a tensor of 4 terabytes": (partial(weights, tensors(_HUGE)), REFUSED),
    "a header of 2^63 bytes": (partial(weights, struct.pack("<Q", 2**63) + b"{}"), REFUSED),
    "a header 100,000 lists deep": (partial(weights, tensors(b"[" * 100_000)), REFUSED),
}
