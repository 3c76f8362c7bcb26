"""Which part may import which, how long a module may be, and what an import loads.

A part is a folder, or a module that lies directly in `embedder/` or `enroll/`. Imports count wherever they
stand: at the top, inside functions, under `TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedder
import enroll

ROOT = Path(embedder.__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("embedder", "enroll")
    for path in sorted((ROOT / package).rglob("*.py"))
}

# Part -> the parts it may import besides itself. No part may import one that stands below it here.
LIBRARY = {
    "errors": "",
    "_internal": "errors",
    "config": "errors _internal",
    "metrics": "errors",
    "moments": "",
    "strangers": "_internal metrics moments",
    "stranger_fit": "metrics moments strangers",
    "images": "errors _internal config",
    "names": "errors _internal",
    "folders": "errors _internal names",
    "model_folder": "errors _internal config strangers",
    "copies": "errors",
    "built_in": "errors _internal config model_folder",  # export makes the model, in a process of its own
    "faces": "errors _internal config images built_in",
    "extractor": "errors _internal config metrics images model_folder built_in faces",
    "contact_sheet": "errors _internal config images names folders faces",
    "backend": "errors _internal config",
    "optimizers": "errors config",
    "callbacks": "errors _internal metrics",
    "losses": "errors _internal",
    "layers": "losses",
    "head_inputs": "config layers",
    "heads": "errors _internal config losses layers head_inputs",
    "trunks": "errors _internal config metrics",
    "export": "errors _internal config metrics images model_folder built_in strangers faces extractor "
    "backend trunks",
    "training.data": "errors _internal config images copies folders faces",
    "training": "errors _internal config metrics strangers stranger_fit images names copies folders "
    "model_folder built_in faces extractor contact_sheet backend optimizers callbacks losses layers "
    "head_inputs heads "
    "trunks export training.data",
}
# The core: arrays in, arrays out. Of `embedder` it knows no more than these.
CORE = (
    "embedder.errors embedder.metrics embedder.moments embedder.strangers embedder._internal.ranges "
    "embedder._internal.runtime embedder._internal.wording"
)
PEOPLE = {
    "config": "embedder.config",
    "templates": CORE,
    "decision": CORE,
    "confidence": f"{CORE} templates",
    "agreement": f"{CORE} decision",
    "sightings": "embedder decision agreement",
    "distances": CORE,
    "near_people": f"{CORE} distances",
    "posterior": f"{CORE} distances",
    "probes": f"{CORE} distances near_people",
    "calibration": f"{CORE} templates decision distances near_people posterior probes",
    "comparisons": f"{CORE} distances near_people probes calibration",
    "scoring": f"{CORE} templates",
    "search": f"{CORE} embedder._internal templates decision",
    "doctor": f"{CORE} templates distances calibration search",
    "evaluation": f"{CORE} embedder._internal.files embedder.config config templates decision confidence "
    "calibration scoring search doctor",
    "score_calibration": f"{CORE} decision calibration scoring",
    "scored_people": f"{CORE} decision distances scoring search",
    "classifier_options": f"{CORE} scoring",
    "classifier": f"{CORE} templates decision confidence calibration scoring search score_calibration "
    "scored_people classifier_options",
    "model_selection": f"{CORE} config evaluation classifier",
    "store": f"{CORE} embedder._internal embedder.names templates search",
    "store.sqlite": f"{CORE} embedder._internal templates search store",
    "store.milvus": f"{CORE} embedder._internal templates search store",
    "embedding": "embedder config templates",
    "folder_embedding": "embedder evaluation embedding",
    "photo_embedder": "embedder embedding",
    "looking": "embedder embedding",
    "cluster": "embedder embedding looking",
    "gallery": "embedder config templates decision confidence near_people probes calibration comparisons "
    "search doctor store store.sqlite classifier embedding folder_embedding looking",
    "identify": "embedder config templates decision confidence calibration search store embedding gallery",
    "library": "embedder config templates decision agreement sightings confidence calibration search store "
    "store.sqlite embedding looking gallery identify",
    "watch": "embedder config templates decision agreement sightings confidence calibration search store "
    "embedding gallery identify",
    "report": "embedder config templates decision agreement sightings confidence calibration comparisons "
    "search doctor evaluation store embedding folder_embedding gallery identify",
    "serve": "embedder config templates decision confidence calibration evaluation store embedding "
    "folder_embedding gallery identify library report",
    "cli": "embedder config templates decision agreement sightings confidence calibration scoring search "
    "doctor evaluation store store.sqlite store.milvus embedding folder_embedding looking cluster gallery "
    "identify library report serve watch",
    "start": "cli",
}
FRAMEWORKS = {"tensorflow", "keras"}
# Package -> the only parts that may import it.
ONLY_IN = {
    "typer": {"enroll.cli"},
    "rich": {"enroll.cli"},
    "sqlite3": {"enroll.store.sqlite"},
    "pymilvus": {"enroll.store.milvus"},
    "milvus_lite": {"enroll.store.milvus"},
    "faiss": {"enroll.search"},
    "av": {"enroll.library"},
    "paho": {"enroll.watch"},
    "ray": {"enroll.cluster"},
    "pyarrow": {"enroll.cluster"},
    "cryptography": {"enroll.store.sqlite"},
    **{
        package: {"enroll.serve"}
        for package in (
            "fastapi",
            "starlette",
            "uvicorn",
            "pydantic",
            "argon2",
            "prometheus_client",
        )
    },
    "jinja2": {"enroll.serve", "enroll.report"},
    "rawpy": {"embedder.images"},
    "lxml": {"enroll.library"},
    "watchfiles": {"enroll.library"},
    "matplotlib": {"enroll.report", "embedder.training"},
    "ai_edge_litert": {"embedder.extractor", "embedder.faces"},
    "keras": {
        f"embedder.{part}"
        for part in (
            *("losses", "layers", "head_inputs", "heads", "trunks", "export", "training", "training.data"),
            *("backend", "optimizers", "callbacks", "_internal"),
        )
    },
}
ONLY_IN["tensorflow"] = ONLY_IN["keras"]
PARTS = {f"embedder.{part}": may for part, may in LIBRARY.items()} | {
    f"enroll.{part}": may for part, may in PEOPLE.items()
}


def imports(path: Path) -> Iterator[str]:
    """Give the dotted names that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


IMPORTS = {name: sorted(set(imports(path))) for name, path in MODULES.items()}


def part_of(module: str) -> str:
    """Give the part a module lies in; the packages' own doors lie in none."""
    parts = module.split(".")
    return next((part for n in (3, 2) if (part := ".".join(parts[:n])) in PARTS), "")


def allowed(part: str) -> set[str]:
    """Give the parts that a part may import; `embedder` stands for all of its parts."""
    package = part.partition(".")[0]
    names = {
        name if name.split(".")[0] in ("embedder", "enroll") else f"{package}.{name}"
        for name in PARTS[part].split()
    }
    return names | {part}


def breaches() -> set[tuple[str, str]]:
    """Give every import that the table does not allow."""
    found = set()
    for module, targets in IMPORTS.items():
        if not (part := part_of(module)):
            continue
        may = allowed(part)
        for target in targets:
            if target.split(".")[0] not in ("embedder", "enroll"):
                continue
            steps = target.split(".")
            if not may & {".".join(steps[:n]) for n in range(1, len(steps) + 1)} and not (
                MODULES[module].name == "__init__.py" and part_of(target).startswith(f"{part}.")
            ):
                found.add((module, target))
    return found


def test_every_module_has_a_part():
    assert {module for module in MODULES if not part_of(module)} == {"embedder", "enroll"}


def test_parts_import_only_what_the_table_allows():
    assert breaches() == set()


@pytest.mark.parametrize("table", [LIBRARY, PEOPLE], ids=["embedder", "enroll"])
def test_the_table_has_an_order(table: dict[str, str]):
    above: set[str] = set()
    for part, may in table.items():
        own = {name for name in may.split() if not name.startswith("embedder")}
        assert own <= above, part
        above.add(part)


def test_no_circles():
    edges = {
        module: [name for name in IMPORTS[module] if name in MODULES and name != module] for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for target in edges[module]:
                visit(target, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_is_imported_in_its_parts_only(package: str):
    parts = {
        part_of(module) for module in MODULES if package in {name.split(".")[0] for name in IMPORTS[module]}
    }
    assert parts <= ONLY_IN[package]


def test_only_the_command_line_prints():
    def prints(path: Path) -> bool:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        return any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)

    assert {part_of(module) for module, path in MODULES.items() if prints(path)} <= {"enroll.cli"}


def test_modules_are_short():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert not {name: length for name, length in lengths.items() if length > 400}


def test_modules_are_short_in_the_middle():
    lengths = sorted(
        len(path.read_text().splitlines()) for path in MODULES.values() if path.name != "__init__.py"
    )
    assert lengths[len(lengths) // 2] <= 240


@pytest.mark.parametrize("package", [embedder, enroll], ids=lambda package: package.__name__)
def test_public_names_are_there_and_documented(package):
    for found in (getattr(package, name) for name in package.__all__):
        assert found.__doc__ or not callable(found)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import embedder, enroll", {"numpy", "PIL", "sqlite3", "sklearn", "ai_edge_litert", *FRAMEWORKS}),
        ("import enroll.cli", {"numpy", "PIL", "sqlite3", "sklearn", "ai_edge_litert", *FRAMEWORKS}),
        ("import enroll.gallery.gallery, enroll.identify", {"sklearn", "ai_edge_litert", *FRAMEWORKS}),
        ("import embedder.training.run", FRAMEWORKS),
        ("import embedder.export.formats", FRAMEWORKS),
    ],
)
def test_nothing_heavy_is_loaded_by_an_import(code: str, absent: set[str]):
    code = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())
