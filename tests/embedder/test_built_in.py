"""The built-in model: made once, whatever happens meanwhile, and never one that others could have written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from embedder import built_in
from embedder._internal.lock import one_at_a_time
from embedder._internal.runtime import Progress
from embedder.built_in import BuiltInModel, load_built_in, place, prepare_built_in
from embedder.config import BUILT_IN
from embedder.errors import EmbedError, MissingPackageError, ModelError, UsageError
from embedder.extractor import Extractor
from embedder.model_folder import check_model, load_manifest, read_part, save_bundle

PREPARING, WAITING = "Preparing the built-in network", "Waiting for another process"

# A process that asks for the model; it is made of a folder, slowly, and each making leaves a line.
ASKING = """
import sys, time
from pathlib import Path
from embedder import built_in
from embedder._internal.runtime import Progress
from embedder.built_in import MARK, BuiltInModel, key, load_built_in
from embedder.model_folder import load_manifest, read_part
from dataclasses import replace

source, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def made(progress):
    with log.open("a") as file:
        file.write("made\\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not log.with_name("go").exists():
        time.sleep(0.05)
    manifest = replace(load_manifest(source), training={MARK: key(), "scores": []})
    parts = {part: read_part(source, manifest, part) for part in ("extractor", "weights")}
    return BuiltInModel(manifest, parts)

class Lines(Progress):
    def say(self, line):
        print(line, flush=True)
        with log.with_name("said").open("a") as file:
            print(line, file=file)

built_in._made_apart = made
print(load_built_in(Lines()).manifest.fingerprint, flush=True)
"""


class Heard(Progress):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def tiny(model: Path) -> BuiltInModel:
    """A small model that says it is the built-in one."""
    return as_built_in(model)


def as_built_in(model: Path, key: str | None = None) -> BuiltInModel:
    training = {built_in.MARK: key or built_in.key(), "scores": []}
    manifest = replace(load_manifest(model), training=training)
    return BuiltInModel(
        manifest, {part: read_part(model, manifest, part) for part in ("extractor", "weights")}
    )


@pytest.fixture
def made(tmp_path: Path, tiny: BuiltInModel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, and a maker that takes no time; each making is an entry."""
    making: list[str] = []

    def make(progress: Progress) -> BuiltInModel:
        progress.say(PREPARING)
        making.append("made")
        return tiny

    monkeypatch.setenv("EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(built_in, "_made_apart", make)
    monkeypatch.setattr(built_in, "_unkept", {})
    return making


def write(folder: Path, model: BuiltInModel) -> None:
    save_bundle(folder, model.manifest, **model.parts)


def ask(model: Path, tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASKING, str(model), str(tmp_path / "log"), str(seconds)],
        env={**os.environ, "EMBED_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_made_once_and_then_read(made: list[str], tiny: BuiltInModel):
    heard = Heard()
    first, second = load_built_in(heard), load_built_in(heard)
    assert made == ["made"]
    assert heard.lines == [PREPARING]
    assert first.manifest == second.manifest == check_model(place()) == tiny.manifest
    assert second.parts["extractor"] == tiny.parts["extractor"]


@pytest.mark.parametrize("name", [None, BUILT_IN])
def test_an_extractor_without_a_folder(
    name: str | None, made: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / BUILT_IN)  # a folder of this name is another model
    picture = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    own = Extractor.load(name)
    assert own.manifest.training[built_in.MARK] == built_in.key()
    assert np.array_equal(own.embed([picture]), Extractor.load(model).embed([picture]))
    assert built_in.MARK not in Extractor.load(Path(BUILT_IN)).manifest.training
    assert built_in.MARK not in Extractor.load("./built-in").manifest.training


def test_only_its_owner_can_write_it(made: list[str], monkeypatch: pytest.MonkeyPatch):
    def check(folder: Path) -> None:  # between two steps of making a folder, as another process does
        for path in (place().parent, place().parent.parent):
            assert not path.exists() or not path.stat().st_mode & 0o022

    monkeypatch.setattr("embedder._internal.files.sync_folder", check)
    before = os.umask(0)
    try:
        folder = prepare_built_in()
    finally:
        os.umask(before)
    for path in (folder.parent, folder, *folder.iterdir()):
        assert not path.stat().st_mode & 0o022, path
    load_built_in()
    assert len(made) == 1


def damage_cut(folder: Path, _: BuiltInModel) -> None:
    (file,) = folder.glob("extractor-*")
    file.write_bytes(file.read_bytes()[:-100])


def damage_byte(folder: Path, _: BuiltInModel) -> None:
    (file,) = folder.glob("extractor-*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def damage_manifest(folder: Path, _: BuiltInModel) -> None:
    file = folder / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"dim"', b'"din"'))


def damage_missing(folder: Path, _: BuiltInModel) -> None:
    next(folder.glob("extractor-*")).unlink()


def damage_another_model(folder: Path, tiny: BuiltInModel) -> None:
    shutil.rmtree(folder)
    write(folder, replace(tiny, manifest=replace(tiny.manifest, training={})))


def damage_older_recipe(folder: Path, tiny: BuiltInModel) -> None:
    shutil.rmtree(folder)
    write(
        folder, replace(tiny, manifest=replace(tiny.manifest, training={built_in.MARK: "0123456789abcdef"}))
    )


def damage_others_may_write(folder: Path, _: BuiltInModel) -> None:
    folder.chmod(0o777)


def damage_others_may_write_a_file(folder: Path, _: BuiltInModel) -> None:
    (folder / "manifest.json").chmod(0o666)


def damage_link(folder: Path, _: BuiltInModel) -> None:
    folder.rename(folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere")


def damage_link_to_a_file(folder: Path, _: BuiltInModel) -> None:
    file = next(folder.glob("extractor-*"))
    file.rename(folder.parent.parent / "elsewhere")
    file.symlink_to(folder.parent.parent / "elsewhere")


def damage_file_in_its_place(folder: Path, _: BuiltInModel) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


DAMAGE = [value for name, value in globals().items() if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__.removeprefix("damage_"))
def test_what_is_not_ours_or_not_whole_is_made_again(
    damage: Callable[[Path, BuiltInModel], None],
    made: list[str],
    tiny: BuiltInModel,
    caplog: pytest.LogCaptureFixture,
):
    folder = prepare_built_in()
    damage(folder, tiny)
    assert load_built_in().manifest == tiny.manifest
    assert len(made) == 2
    (record,) = caplog.records
    assert str(folder) in record.getMessage()
    assert "it is not used, and prepared again" in record.getMessage()
    assert "train again" not in record.getMessage()
    assert not folder.is_symlink()
    assert check_model(folder) == tiny.manifest
    load_built_in()
    assert len(made) == 2


def test_another_recipe_has_another_place(made: list[str], model: Path, monkeypatch: pytest.MonkeyPatch):
    folder = prepare_built_in()
    for name, value in (("RECIPE", built_in.RECIPE + 1), ("SOURCES", {"other": "0" * 64}), ("FORMAT", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(built_in, name, value)
            patch.setattr(built_in, "_made_apart", lambda _: as_built_in(model))
            assert prepare_built_in() != folder
    assert check_model(folder)  # an older toolkit still has its own


def foreign(monkeypatch: pytest.MonkeyPatch, owned: Path) -> None:
    """Let a path belong to another user. Tests may run as root, who could make it so, and ignores modes."""
    lstat, own = Path.lstat, os.geteuid()

    def changed(path: Path) -> Any:
        status = lstat(path)
        uid = own + 1000 if path == owned else own
        return SimpleNamespace(st_mode=status.st_mode, st_uid=uid, st_mtime=status.st_mtime)

    monkeypatch.setattr(Path, "lstat", changed)


def test_a_model_of_another_user_is_made_again(
    made: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    folder = prepare_built_in()
    with monkeypatch.context() as patch:
        foreign(patch, folder / "manifest.json")
        load_built_in()
    assert len(made) == 2
    assert "it belongs to another user: it is not used" in caplog.text


@pytest.mark.parametrize("case", ["another user's", "open to all", "a link"])
def test_a_folder_of_models_that_others_rule_is_left_alone(
    case: str, made: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    folder = prepare_built_in().parent
    if case == "another user's":
        foreign(monkeypatch, folder)
    elif case == "open to all":
        folder.chmod(0o777)
    else:
        folder.rename(folder.parent / "elsewhere")
        folder.symlink_to(folder.parent / "elsewhere")
    load_built_in()
    load_built_in()
    assert len(made) == 2  # once more, and then from memory
    (record,) = caplog.records
    assert "cannot be kept" in record.getMessage()
    assert "set EMBED_CACHE" in record.getMessage()
    with pytest.raises(UsageError, match=r"cannot be kept: .*models: .*; set EMBED_CACHE"):
        prepare_built_in()
    assert len(made) == 2


def test_a_cache_folder_that_all_may_write_needs_the_sticky_bit(
    made: list[str], caplog: pytest.LogCaptureFixture
):
    cache = prepare_built_in().parents[1]
    cache.chmod(0o1777)  # like /tmp
    load_built_in()
    assert len(made) == 1
    cache.chmod(0o777)
    load_built_in()
    assert len(made) == 2
    assert "others can write it" in caplog.text


def test_an_administrator_may_prepare_it_for_all(made: list[str], monkeypatch: pytest.MonkeyPatch):
    prepare_built_in()
    owner = os.geteuid()
    if owner == 0:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        load_built_in()
        assert len(made) == 1


def test_without_a_home(made: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(built_in, "cache_folder", no_home)
    load_built_in()
    load_built_in()
    assert len(made) == 1  # kept in memory
    assert "Could not determine home directory" in caplog.text
    assert "every command prepares it again" in caplog.text
    with pytest.raises(UsageError, match=r"home directory.*EMBED_CACHE"):
        prepare_built_in()


def test_a_cache_that_cannot_be_written(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMBED_CACHE", str(tmp_path / "file" / "cache"))
    load_built_in()
    load_built_in()
    assert len(made) == 1
    assert len(caplog.records) == 1
    assert "Not a directory" in caplog.text


def test_a_cache_that_can_only_be_read_still_gives_its_model(
    made: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    prepare_built_in()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "chmod", "rename", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    load_built_in()
    assert len(made) == 1
    assert not caplog.records


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(
    number: int, made: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("embedder._internal.files.os.fsync", full)
        patch.setattr("embedder._internal.files.sync_folder", lambda _: None)
        load_built_in()
        load_built_in()
        assert len(made) == 1
        assert os.strerror(number) in caplog.text
        with pytest.raises(UsageError, match=os.strerror(number)):
            prepare_built_in()
    assert [path.suffix for path in place().parent.iterdir()] == [".lock"]  # nothing half done
    prepare_built_in()
    assert check_model(place())


def test_a_limit_on_the_size_of_files(made: list[str], caplog: pytest.LogCaptureFixture):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        load_built_in()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in caplog.text
    assert [path.suffix for path in place().parent.iterdir()] == [".lock"]


def test_of_many_processes_one_makes_it(model: Path, tmp_path: Path):
    processes = [ask(model, tmp_path, seconds=60) for _ in range(3)]
    said = tmp_path / "said"
    wait_for(lambda: said.exists() and said.read_text().count(WAITING) == 2)
    (tmp_path / "go").touch()
    ended = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ended
    assert (tmp_path / "log").read_text() == "made\n"
    assert len({out.splitlines()[-1] for out, _ in ended}) == 1


def test_a_process_that_is_killed_leaves_no_lock_and_no_half_model(
    model: Path, tmp_path: Path, made: list[str]
):
    first = ask(model, tmp_path, seconds=100)
    wait_for((tmp_path / "log").exists)
    second = ask(model, tmp_path, seconds=0)
    assert second.stdout is not None
    assert WAITING in second.stdout.readline()
    first.send_signal(signal.SIGKILL)
    out, error = second.communicate(timeout=100)
    first.communicate()
    assert second.returncode == 0, error
    assert (tmp_path / "log").read_text() == "made\n" * 2
    assert load_built_in().manifest.fingerprint == out.strip()
    assert not made


@pytest.mark.parametrize("step", ["save_bundle", "close_to_others", "rename"])
def test_killed_while_writing(
    step: str, made: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place().parent.mkdir(parents=True)
    target = "Path.rename" if step == "rename" else f"built_in.{step}"
    code = ASKING.replace(
        "built_in._made_apart = made", f"built_in._made_apart = made\nimport os\n{target} = stop"
    )
    code = code.replace("class Lines", "def stop(*_, **__):\n    os.kill(os.getpid(), 9)\n\nclass Lines")
    arguments = [sys.executable, "-c", code, str(model), str(tmp_path / "log"), "0"]
    assert subprocess.run(arguments).returncode == -signal.SIGKILL
    assert not place().exists()
    prepare_built_in()
    assert len(made) == 1
    assert check_model(place())
    left = [path for path in place().parent.iterdir() if path.name.startswith(".")]
    assert len(left) == 1
    os.utime(left[0], (0, 0))
    prepare_built_in(again=True)
    assert not left[0].exists()


def test_a_wait_has_an_end(made: list[str], monkeypatch: pytest.MonkeyPatch):
    prepare_built_in()
    monkeypatch.setattr(built_in, "_PATIENCE", 0.3)
    heard = Heard()
    with one_at_a_time(place().with_name(f"{place().name}.lock"), 0):
        prepare_built_in(heard, again=True)
    assert len(made) == 2
    assert [line.split(",")[0] for line in heard.lines] == [WAITING, PREPARING]


def test_two_that_make_it_at_once_leave_one(
    made: list[str], tiny: BuiltInModel, monkeypatch: pytest.MonkeyPatch
):
    """Where a file system has no locks: the other one is done just before this one."""
    folder, rename = place(), Path.rename

    def slow(path: Path, target: Path) -> Path:
        if target == folder:
            monkeypatch.setattr(Path, "rename", rename)
            write(folder, tiny)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", slow)
    prepare_built_in()
    assert check_model(folder) == tiny.manifest
    assert [path for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_made_again_on_request(made: list[str]):
    assert prepare_built_in() == prepare_built_in() == prepare_built_in(again=True)
    assert len(made) == 2


def child(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_in, "_CHILD", code)


def test_an_error_of_the_process_that_makes_it_is_raised_here(monkeypatch: pytest.MonkeyPatch):
    error = MissingPackageError("weights: not installed; pip install 'weights'")
    child(f"import sys; sys.stdout.buffer.write({built_in.packed_error(error)!r})", monkeypatch)
    with pytest.raises(MissingPackageError, match="pip install 'weights'"):
        built_in._made_apart(Progress())


def test_a_process_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch):
    child("import sys; print('out of memory', file=sys.stderr); sys.exit(9)", monkeypatch)
    with pytest.raises(EmbedError, match="exit code 9: out of memory"):
        built_in._made_apart(Progress())


def test_a_process_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch):
    child("import time; time.sleep(100)", monkeypatch)
    monkeypatch.setattr(built_in, "_LONGEST", 0.5)
    with pytest.raises(EmbedError, match="took more than"):
        built_in._made_apart(Progress())


def test_a_message_that_is_cut_short_is_an_error(tiny: BuiltInModel):
    head, _, body = built_in.packed(tiny.manifest, tiny.parts).partition(b"\n")
    assert built_in.unpacked(json.loads(head), body).parts == tiny.parts
    with pytest.raises(ModelError, match=r"expected .* bytes, got"):
        built_in.unpacked(json.loads(head), body[:-1])


def test_the_process_imports_what_this_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not what lies in the folder it is started in."""
    (tmp_path / "embedder").mkdir()
    (tmp_path / "embedder" / "__init__.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    child(
        built_in._CHILD.partition("from embedder")[0]
        + "import embedder, json; print(json.dumps({'error': 'UsageError', 'message': embedder.__file__}))",
        monkeypatch,
    )
    with pytest.raises(UsageError, match=str(Path(built_in.__file__).with_name("__init__.py"))):
        built_in._made_apart(Progress())


def test_the_weights_are_those_that_the_trunk_reads():
    from embedder.export import yunet
    from embedder.trunks import sface

    assert built_in.SOURCES == {"sface": sface.SHA256, "yunet": yunet.SHA256}


def test_nothing_is_said_by_the_library(made: list[str], capfd: pytest.CaptureFixture[str]):
    Extractor.load()
    out, err = capfd.readouterr()
    assert (out, err.replace("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n", "")) == ("", "")


@pytest.mark.slow
def test_it_is_compiled_without_loading_tensorflow_here(tmp_path: Path):
    code = (
        "import sys\nfrom embedder import Extractor\nprint(Extractor.load().fingerprint)\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))"
    )
    environment = {**os.environ, "EMBED_CACHE": str(tmp_path), "KERAS_BACKEND": "jax"}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout, runs
    assert runs[0].stdout.endswith("[]\n"), runs
    (folder,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    assert check_model(folder).fingerprint in runs[0].stdout


def test_a_manifest_is_found_where_there_is_one(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert built_in.find_manifest(model) == load_manifest(model)
    assert built_in.find_manifest(tmp_path) is None
    monkeypatch.setenv("EMBED_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(built_in, "_made_apart", lambda progress: pytest.fail("it is not made for this"))
    assert built_in.find_manifest(BUILT_IN) is None
