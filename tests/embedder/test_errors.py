from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from embedder import errors
from embedder.errors import EmbedError, ImageError, PhotoConflictError

DRAWN = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>\w+Error) +(?P<code>\d)   (?P<what>.+)$", re.MULTILINE)
CLASSES = {
    name: thing
    for name, thing in vars(errors).items()
    if inspect.isclass(thing) and issubclass(thing, BaseException)
}


def drawing() -> list[tuple[str, str, int]]:
    """Class, base and exit code of each line of the tree in the docstring."""
    found: list[tuple[str, str, int]] = []
    above = ["Exception"]
    for line in DRAWN.finditer(errors.__doc__ or ""):
        depth = len(line["indent"]) // 4
        above[depth + 1 :] = [line["name"]]
        found.append((line["name"], above[depth], int(line["code"])))
    return found


def test_the_drawing_shows_every_class_once() -> None:
    names = [name for name, _, _ in drawing()]
    assert sorted(names) == sorted(CLASSES)
    tree = (errors.__doc__ or "").split("```")[1]
    assert len(tree.strip().splitlines()) == len(names)  # and nothing that is not a class


@pytest.mark.parametrize(("name", "base", "code"), drawing())
def test_the_drawing_is_true(name: str, base: str, code: int) -> None:
    assert [parent.__name__ for parent in CLASSES[name].__bases__] == [base]
    assert CLASSES[name].exit_code == code


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_says_what_it_means(name: str) -> None:
    assert issubclass(CLASSES[name], EmbedError)
    assert CLASSES[name].__module__ == "embedder.errors"
    assert "__doc__" in vars(CLASSES[name])
    assert CLASSES[name].exit_code in (1, 2, 3, 4)  # 0 is done, 5 is someone unknown
    assert (CLASSES[name].exit_code == 1) == (name == "EmbedError")


@pytest.mark.parametrize("kind", [ImageError, PhotoConflictError])
@pytest.mark.parametrize("path", ["some folder/é.png", Path("some folder/é.png")])
def test_an_image_error_has_its_path_apart(kind: type[ImageError], path: str | Path) -> None:
    error = kind(path, "the file is empty")
    assert str(error) == f"{Path('some folder/é.png')}: the file is empty"
    assert error.path == Path("some folder/é.png")
    assert error.reason == "the file is empty"
