"""The packages that programs in use speak through, unchanged, against a server that listens."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import shutil
import subprocess
import sys
import types
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import pattern
from tests.enroll.serve.conftest import picture
from tests.enroll.serve.live import Live, listening

ANY_KEY = str(uuid.UUID(int=0))  # CompreFace's clients must send one; on this machine it may be anything
STRANGER = 20
ROOT = Path(__file__).parents[3]


pytestmark = pytest.mark.filterwarnings("ignore")  # old packages: what they leave open is theirs


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """Collect the connections that a client leaves open, before another test is blamed for them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with listening(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos as files: p0-1.png is photo 1 of person 0."""
    folder = tmp_path_factory.mktemp("photos")
    for identity in (0, 1, 2, STRANGER):
        for photo in range(3):
            Image.fromarray(pattern(identity, photo, 16)).save(folder / f"p{identity}-{photo}.png")
    return folder


@pytest.fixture
def compreface(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`compreface-sdk`, whose requests-toolbelt asks urllib3 for a part that it has no more."""
    pytest.importorskip("urllib3")
    for name in ("urllib3.contrib.appengine", "requests.packages.urllib3.contrib.appengine"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["urllib3.contrib.appengine"], "is_appengine_sandbox", bool, raising=False)
    import urllib3.contrib

    monkeypatch.setattr(urllib3.contrib, "appengine", sys.modules["urllib3.contrib.appengine"], raising=False)
    return pytest.importorskip("compreface", reason="compreface-sdk is not installed")


def test_compreface_sdk(live: Live, photos: Path, compreface: Any) -> None:
    service = compreface.CompreFace("http://127.0.0.1", str(live.port))
    recognition = service.init_face_recognition(ANY_KEY)
    faces, subjects = recognition.get_face_collection(), recognition.get_subjects()
    subjects.delete_all()
    assert subjects.add("Ada") == {"subject": "Ada"}
    assert subjects.add("Ada")["code"] == 43
    added = faces.add(str(photos / "p0-0.png"), "Ada")
    assert added["subject"] == "Ada"
    faces.add(picture(1, 0), "Zoë")
    assert subjects.list() == {"subjects": ["Ada", "Zoë"]}
    listed = faces.list()
    assert (len(listed["faces"]), listed["page_number"], listed["page_size"]) == (2, 0, 20)
    options = {
        "limit": 0,
        "det_prob_threshold": 0.8,
        "prediction_count": 1,
        "face_plugins": "calculator,age,gender,landmarks",
        "status": "true",
    }
    (face,) = recognition.recognize(str(photos / "p0-1.png"), options)["result"]
    assert face["subjects"][0]["subject"] == "Ada"
    assert face["subjects"][0]["similarity"] > 0.6
    assert len(face["embedding"]) == 48
    (face,) = recognition.recognize(picture(STRANGER, 0))["result"]
    assert face["subjects"][0]["similarity"] < 0.4
    (verified,) = faces.verify(str(photos / "p0-1.png"), added["image_id"])["result"]
    assert verified["similarity"] > 0.6
    assert subjects.update(subject="Zoë", new_name="Eve") == {"updated": True}
    assert faces.delete(added["image_id"]) == {"image_id": added["image_id"], "subject": "Ada"}
    assert faces.delete(added["image_id"])["code"] == 44
    assert faces.delete_all("Eve") == {"deleted": 1}
    assert subjects.delete("nobody")["code"] == 42
    detected = service.init_face_detection(ANY_KEY).detect(str(photos / "p0-0.png"))["result"]
    assert set(detected[0]) == {"box"}
    verification = service.init_face_verification(ANY_KEY)
    (same,) = verification.verify(str(photos / "p0-0.png"), str(photos / "p0-1.png"))["result"]
    assert same["face_matches"][0]["similarity"] > 0.6
    (other,) = verification.verify(str(photos / "p0-0.png"), str(photos / "p1-1.png"))["result"]
    assert other["face_matches"][0]["similarity"] < 0.4


def test_compreface_sdk_python(live: Live, photos: Path, tmp_path: Path) -> None:
    """It sends empty values for what was not given."""
    pytest.importorskip("compare", reason="compreface-sdk-python is not installed")
    from compare.services.detection_service import DetectionService
    from compare.services.recognition_service import AsyncRecognitionService, RecognitionService
    from compare.services.verification_service import VerificationService

    client = RecognitionService(ANY_KEY, live.address)
    client.delete_all_subjects()
    assert client.add_a_subject("Kim") == {"subject": "Kim"}
    first = client.add_a_img("Kim", str(photos / "p0-0.png"))
    second = client.add_a_img_by_64("Kim", base64.b64encode(picture(0, 1)).decode())
    assert client.list_saved_img_subject()["total_elements"] == 2
    (face,) = client.recognize(str(photos / "p0-2.png"))["result"]
    assert face["subjects"][0]["subject"] == "Kim"
    encoded = base64.b64encode(picture(0, 2)).decode()
    assert client.recognize_by_64(encoded)["result"] == [face]
    assert client.verify(str(photos / "p0-2.png"), first["image_id"])["result"][0]["similarity"] > 0.6
    saved = client.download_a_img(first["image_id"], str(tmp_path / "face.png"))
    assert Image.open(saved).size == (16, 16)
    unsafe = client.direct_download_img(first["image_id"], str(tmp_path / "static.png"))
    assert b"code" in Path(unsafe).read_bytes()  # the key would be in the address
    assert client.delete_multiple_img([second["image_id"], "nothing"]) == [second]
    assert client.rename_a_subject("Kim", "Lee") == {"updated": True}
    assert client.delete_saved_img_by_subject("Lee") == {"deleted": 1}
    assert client.list_all_subjects() == {"subjects": []}
    assert "box" in DetectionService(ANY_KEY, live.address).detect(str(photos / "p0-2.png"))["result"][0]
    pair = str(photos / "p0-0.png"), str(photos / "p0-2.png")
    (compared,) = VerificationService(ANY_KEY, live.address).verify(*pair)["result"]
    assert compared["face_matches"][0]["similarity"] > 0.6

    async def once() -> Any:
        return await AsyncRecognitionService(ANY_KEY, live.address).list_all_subjects()

    with ThreadPoolExecutor(1) as pool:  # a browser of other tests may run a loop in this thread
        answered = pool.submit(asyncio.run, once()).result()
    assert answered == {"subjects": []}


@pytest.mark.parametrize(("package", "who"), [("deepstack", 2), ("codeprojectai", 3)])
def test_deepstack_and_codeproject(live: Live, package: str, who: int) -> None:
    module = pytest.importorskip(f"{package}.core", reason=f"the client {package} is not installed")
    kind = {"deepstack": "DeepstackFace", "codeprojectai": "CodeProjectAIFace"}[package]
    name = f"{package} person"
    client = getattr(module, kind)(ip="127.0.0.1", port=live.port, timeout=30)
    assert client.register(name, picture(who, 0)) == "face added"
    assert name in client.get_registered_faces()
    (face,) = client.recognize(picture(who, 1))
    assert face["userid"] == name
    assert face["confidence"] >= client.__dict__.get("_min_confidence", client.__dict__.get("min_confidence"))
    assert set(face) == {"userid", "confidence", "x_min", "y_min", "x_max", "y_max"}
    (stranger,) = client.recognize(picture(STRANGER, 1))
    assert (stranger["userid"], stranger["confidence"]) == ("unknown", 0)
    assert set(client.detect(picture(who, 1))[0]) == {"confidence", "x_min", "y_min", "x_max", "y_max"}
    with pytest.raises(Exception, match="400"):
        client.register(name, b"no picture")


def test_compreface_js_sdk(live: Live, photos: Path) -> None:
    """Its package is installed by .ci/run, if there is npm."""
    package = ROOT / "build" / "js" / "node_modules" / "@exadel" / "compreface-js-sdk"
    if not package.exists() or shutil.which("node") is None:
        pytest.skip("node or @exadel/compreface-js-sdk is not installed")
    script = package.parents[2] / "compreface_client.mjs"  # beside the package: node looks for it from there
    shutil.copy(Path(__file__).with_name("compreface_client.mjs"), script)
    done = subprocess.run(
        ["node", script, str(live.port)], cwd=photos, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])  # it prints lines of its own
    assert said["added"]["subject"] == said["encoded"]["subject"] == "Ann B"
    assert said["listed"]["total_elements"] == 2
    assert said["known"]["result"][0]["subjects"][0]["subject"] == "Ann B"
    assert said["known"]["result"][0]["subjects"][0]["similarity"] > 0.6
    assert said["stranger"]["result"][0]["subjects"][0]["similarity"] < 0.4
    assert said["verified"]["result"][0]["similarity"] > 0.6
    assert said["subjects"] == {"subjects": ["Ann B"]}
    assert said["renamed"] == {"updated": True}
    assert said["deleted"]["image_id"] == said["added"]["image_id"]
    assert said["detected"]["result"][0]["box"]["x_max"] == 16
    assert said["compared"]["result"][0]["face_matches"][0]["similarity"] > 0.6
    assert said["rest"] == {"deleted": 1}


def test_deepstack_sdk(live: Live, photos: Path) -> None:
    pytest.importorskip("deepstack_sdk", reason="deepstack-sdk is not installed (with --no-deps)")
    from deepstack_sdk import Face, ServerConfig

    client = Face(ServerConfig(f"{live.address}/"))
    client.registerFace([str(photos / "p0-0.png"), str(photos / "p0-1.png")], "sdk person")
    assert "sdk person" in list(client.listFaces())
    response = client.recognizeFace(str(photos / "p0-2.png"))
    assert [(found.userid, found.confidence >= 0.7) for found in response] == [("sdk person", True)]
    assert len(list(client.detectFace(str(photos / "p0-2.png")))) == 1
    client.deleteFace("sdk person")
    assert "sdk person" not in list(client.listFaces())
