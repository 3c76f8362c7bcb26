"""Names of other programs, wherever they keep them, and our own, checked by exiftool and exiv2."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from enroll.library.importing import find_names
from enroll.library.jpeg_xmp import embedded_xmp, with_xmp
from enroll.library.metadata import names_in, sidecars_of
from enroll.library.people import Library
from enroll.library.regions import Region, stored
from enroll.library.tagging import plan_tags, write_tags
from enroll.library.xmp import XmpError, read_people
from enroll.library.xmp_writing import Wanted, write_people
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import SIDE, GridExtractor, save, scan
from tests.vanishing import delete_once_seen

EXIFTOOL = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
EXIV2 = pytest.mark.skipif(not shutil.which("exiv2"), reason="exiv2 is not installed")


def size_of(photo: Path) -> tuple[int, int]:
    with Image.open(photo) as image:
        return image.size


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two people in each of four photos that are stored in four ways."""
    for orientation in (1, 3, 6, 8):
        save(
            tmp_path / "album" / f"o{orientation}.jpg",
            {(0, 0): (1, orientation), (2, 1): (2, orientation)},
            orientation,
        )
    return tmp_path / "album"


@pytest.fixture
def library(gallery: SqliteStore, album: Path, extractor: GridExtractor) -> Library:
    scan(gallery, album, extractor)
    library = Library(gallery)
    for name, box in (("Ada", (0, 0)), ("Bob", (2 * SIDE, SIDE))):
        faces = [number for number, face in library.faces.items() if face.box[:2] == box]
        assert len(faces) == 4
        library.confirm(name, faces)
    return library


# In the upright pictures of 72 x 48: centre, width and height.
UPRIGHT = {"Ada": Region(1 / 6, 0.25, 1 / 3, 0.5, "Ada"), "Bob": Region(5 / 6, 0.75, 1 / 3, 0.5, "Bob")}


@EXIFTOOL
@pytest.mark.parametrize("embed", [False, True], ids=["sidecar", "embedded"])
def test_exiftool_reads_what_was_written(library: Library, album: Path, embed: bool) -> None:
    plan = plan_tags(library, embed)
    assert len(plan.files) == 4
    assert write_tags(plan, library) == (4, [])
    for orientation in (1, 3, 6, 8):
        photo = album / f"o{orientation}.jpg"
        place = photo if embed else photo.with_name(f"{photo.name}.xmp")
        (said,) = json.loads(run("exiftool", "-j", "-struct", "-XMP:all", str(place)))
        size = said["RegionInfo"]["AppliedToDimensions"]
        assert (size["W"], size["H"]) == size_of(photo)
        for region in said["RegionInfo"]["RegionList"]:
            expected = stored(UPRIGHT[region["Name"]], orientation)
            area = [float(region["Area"][key]) for key in "XYWH"]
            assert area == pytest.approx([expected.x, expected.y, expected.w, expected.h], abs=1e-5)
            assert region["Type"] == "Face"
        assert said["PersonInImage"] == ["Ada", "Bob"]
        names = {one["PersonDisplayName"] for one in said["RegionInfoMP"]["Regions"]}
        assert names == {"Ada", "Bob"}


@EXIV2
@pytest.mark.parametrize("embed", [False, True], ids=["sidecar", "embedded"])
def test_exiv2_reads_what_was_written(library: Library, album: Path, embed: bool) -> None:
    write_tags(plan_tags(library, embed), library)
    place = album / ("o6.jpg" if embed else "o6.jpg.xmp")
    said = dict(
        line.split(None, 1) for line in run("exiv2", "-PXkv", str(place)).splitlines() if " " in line.strip()
    )
    assert said["Xmp.iptcExt.PersonInImage"].strip() == "Ada, Bob"
    first = "Xmp.mwg-rs.Regions/mwg-rs:RegionList[1]/mwg-rs:"
    region = stored(UPRIGHT[said[f"{first}Name"].strip()], 6)
    assert float(said[f"{first}Area/stArea:x"]) == pytest.approx(region.x, abs=1e-5)
    assert float(said[f"{first}Area/stArea:h"]) == pytest.approx(region.h, abs=1e-5)


@EXIFTOOL
@pytest.mark.parametrize("where", ["sidecar", "embedded"])
def test_what_exiftool_writes_is_imported(
    gallery: SqliteStore, album: Path, extractor: GridExtractor, where: str
) -> None:
    for orientation in (1, 3, 6, 8):
        photo = album / f"o{orientation}.jpg"
        width, height = size_of(photo)
        regions = []
        for name, upright in UPRIGHT.items():
            at = stored(upright, orientation)
            area = f"{{X={at.x:.6f},Y={at.y:.6f},W={at.w:.6f},H={at.h:.6f},Unit=normalized}}"
            regions.append(f"{{Name={name},Type=Face,Area={area}}}")
        told = f"{{AppliedToDimensions={{W={width},H={height},Unit=pixel}},RegionList=[{','.join(regions)}]}}"
        place = photo if where == "embedded" else photo.with_suffix(".xmp")
        run("exiftool", "-overwrite_original", f"-RegionInfo={told}", str(place))
    scan(gallery, album, extractor)
    library = Library(gallery)
    found = find_names(library)
    assert found.unplaced == []
    assert found.rejected == []
    assert {name: len(faces) for name, faces in found.faces.items()} == {"Ada": 4, "Bob": 4}
    for name, faces in found.faces.items():
        library.confirm(name, faces)
    assert {library.faces[face].box[:2] for face in found.faces["Ada"]} == {(0, 0)}
    assert dict(gallery.identities()) == {"Ada": 4, "Bob": 4}
    assert find_names(library).known == 8


def test_embedding_changes_one_segment_and_keeps_a_backup(library: Library, album: Path) -> None:
    before = {path.name: path.read_bytes() for path in album.iterdir()}
    write_tags(plan_tags(library, embed=True), library)
    for name, data in before.items():
        after = (album / name).read_bytes()
        packet = embedded_xmp(after)
        assert packet is not None
        segment = b"\xff\xe1" + (len(packet) + 31).to_bytes(2) + b"http://ns.adobe.com/xap/1.0/\0" + packet
        assert after.replace(segment, b"", 1) == data
        assert (album / f"{name}_original").read_bytes() == data
    assert plan_tags(library, embed=True).files == ()
    library.reject("Ada", [number for number, name in library.names.items() if name == "Ada"][:1])
    (entry,) = plan_tags(library, embed=True).files
    assert entry.changes == ("- Face Ada at 0.167,0.250 0.333x0.500", "- person in image: Ada")
    write_tags(plan_tags(library, embed=True), library)
    assert (album / f"{entry.photo.name}_original").read_bytes() == before[entry.photo.name]  # once


def test_a_dry_run_shows_what_would_change(library: Library, album: Path) -> None:
    before = sorted(album.iterdir())
    plan = plan_tags(library)
    assert plan.files[0].changes == (
        *("+ Face Ada at 0.167,0.250 0.333x0.500", "+ Face Bob at 0.833,0.750 0.333x0.500"),
        *("+ person in image: Ada", "+ person in image: Bob"),
    )
    assert sorted(album.iterdir()) == before


def test_a_sidecar_of_another_program_is_kept(library: Library, album: Path) -> None:
    from tests.enroll.library.test_xmp import DIGIKAM

    sidecar = album / "o1.xmp"  # as Lightroom calls it
    text = DIGIKAM.replace('stDim:w="800" stDim:h="600"', 'stDim:w="72" stDim:h="48"')
    sidecar.write_bytes(text.replace('tiff:Orientation="6"', "").encode())
    before = sidecar.read_bytes()
    write_tags(plan_tags(library), library)
    after = sidecar.read_bytes()
    assert not (album / "o1.jpg.xmp").exists()
    assert b"holiday &#38; sun" in after
    assert b"xmp:Rating='4'" in after
    assert len(read_people(after).regions) == 4  # two of theirs, two of ours
    assert after.startswith(before[: before.index(b"<mwg-rs:Regions")])


def test_what_cannot_be_written_is_listed_and_the_rest_goes_on(
    library: Library, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.enroll.library.test_xmp import BOMB, DIGIKAM

    (album / "o1.xmp").write_text(BOMB)
    (album / "o3.xmp").write_text(DIGIKAM)  # of a picture of another shape
    data = (album / "o6.jpg").read_bytes()
    (album / "o6.jpg").write_bytes(data + b"\0")
    plan = plan_tags(library)
    reasons = {entry.path.name: entry.reason for entry in plan.rejected}
    assert set(reasons) == {"o1.jpg", "o3.jpg", "o6.jpg"}
    assert "another shape" in reasons["o3.jpg"]
    assert "scan" in reasons["o6.jpg"]
    assert [entry.photo.name for entry in plan.files] == ["o8.jpg"]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("enroll.library.tagging.write_atomic", full)
    done, rejected = write_tags(plan, library)
    assert (done, rejected[0].reason) == (0, "could not be written: No space left on device")
    assert not (album / "o8.jpg.xmp").exists()


def test_a_file_that_changed_since_it_was_read_is_not_written(library: Library, album: Path) -> None:
    plan = plan_tags(library, embed=True)
    (album / "o1.jpg").write_bytes(b"something else")
    done, rejected = write_tags(plan, library)
    assert done == 3
    assert "changed meanwhile" in rejected[0].reason
    assert (album / "o1.jpg").read_bytes() == b"something else"


@pytest.mark.parametrize("keep", [True, False])
def test_times_and_backups_are_kept_as_asked(library: Library, album: Path, keep: bool) -> None:
    photo = album / "o1.jpg"
    os.utime(photo, ns=(10**18, 10**18))
    done, rejected = write_tags(plan_tags(library, embed=True), library, backup=keep, keep_times=keep)
    assert (done, rejected) == (4, [])
    assert (photo.stat().st_mtime_ns == 10**18) == keep
    assert (album / "o1.jpg_original").exists() == keep


def test_a_copy_that_is_gone_is_no_problem(
    gallery: SqliteStore, library: Library, album: Path, extractor: GridExtractor
) -> None:
    copy = Path(shutil.copy(album / "o1.jpg", album / "copy.jpg"))
    scan(gallery, album, extractor)
    copy.unlink()
    scan(gallery, album, extractor)
    library.read()
    plan = plan_tags(library)
    assert (len(plan.files), plan.rejected) == (4, ())


def test_a_sidecar_that_is_a_link_stays_one(library: Library, album: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.xmp"
    real.write_bytes(write_people(None, Wanted((), people=["Zoë"])))
    link = album / "o1.jpg.xmp"
    link.symlink_to(real)
    write_tags(plan_tags(library), library)
    assert link.is_symlink()
    assert set(read_people(real.read_bytes()).people) == {"Zoë", "Ada", "Bob"}


def test_a_picture_that_is_no_jpeg_gets_a_sidecar(
    gallery: SqliteStore, tmp_path: Path, extractor: GridExtractor
) -> None:
    photo = save(tmp_path / "x" / "a.png", {(0, 0): (1, 0)})
    data = photo.read_bytes()
    scan(gallery, photo.parent, extractor)
    library = Library(gallery)
    library.confirm("Ada", list(library.faces))
    assert write_tags(plan_tags(library, embed=True), library) == (1, [])
    assert photo.read_bytes() == data
    assert read_people((photo.parent / "a.png.xmp").read_bytes()).people == ("Ada",)


def test_which_sidecar_is_whose(tmp_path: Path) -> None:
    photo, raw = tmp_path / "a.jpg", tmp_path / "a.nef"
    photo.touch()
    raw.touch()
    assert sidecars_of(photo).write == tmp_path / "a.jpg.xmp"
    said = write_people(None, Wanted([Region(0.5, 0.5, 0.1, 0.1, "Ada")]))
    own = said.replace(
        b'rdf:about=""',
        b'rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        b'photoshop:SidecarForExtension="NEF"',
    )
    (tmp_path / "a.xmp").write_bytes(own)
    assert sidecars_of(raw).read == (tmp_path / "a.xmp",)
    assert sidecars_of(photo).read == ()
    (tmp_path / "A.JPG.XMP").write_bytes(said)
    assert sidecars_of(photo).write == tmp_path / "A.JPG.XMP"


def test_a_sidecar_that_is_deleted_while_it_is_looked_at_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = save(tmp_path / "a.jpg", {(0, 0): (1, 0)})
    (tmp_path / "a.jpg.xmp").touch()
    delete_once_seen(monkeypatch, tmp_path / "a.jpg.xmp")
    assert names_in(photo) == ([], ["a.jpg.xmp: cannot be read: No such file or directory"])


PICASA = """[Picasa]
name=album
[Contacts2]
1234abcd=Ada Lovelace;;
[a.jpg]
faces=rect64(%s),1234abcd;rect64(aaaa7fffffffffff),ffffffffffffffff
rotate=rotate(0)
"""


def test_picasa(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg", {(0, 0): (1, 0)})
    (tmp_path / ".picasa.ini").write_text(PICASA % "55557fff")  # 0, 0, 0x5555, 0x7fff without leading zeros
    (one,), problems = names_in(photo)
    assert problems == []
    assert one.name == "Ada Lovelace"
    assert one.region is not None
    assert one.region.box == pytest.approx((0, 0, 1 / 3, 0.5), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "beside", "title"),
    [
        ("a.jpg", "a.jpg.json", "a.jpg"),
        ("a.jpg", "a.jpg.supplemental-metadata.json", "a.jpg"),
        ("a.jpg", "a.jpg.supplemental-me.json", "a.jpg"),
        (f"{'x' * 46}.jpg", f"{'x' * 46}.json", f"{'x' * 60}.jpg"),
    ],
)
def test_google_takeout(tmp_path: Path, name: str, beside: str, title: str) -> None:
    photo = save(tmp_path / name, {(0, 0): (1, 0)})
    (tmp_path / beside).write_text(json.dumps({"title": title, "people": [{"name": "Ada"}, {"x": 1}]}))
    (one,), problems = names_in(photo)
    assert (one.name, one.region, problems) == ("Ada", None, [])


@pytest.mark.parametrize("text", ["[", "{}", '{"people": 3}', '{"people": [3]}', "[" * 100_000, "\0"])
def test_broken_files_beside_photos_are_listed(tmp_path: Path, text: str) -> None:
    photo = save(tmp_path / "a.jpg", {(0, 0): (1, 0)})
    (tmp_path / "a.jpg.json").write_text(text)
    (tmp_path / ".picasa.ini").write_text("no section")
    (tmp_path / "a.jpg.xmp").write_text("<x/>")
    names, problems = names_in(photo)
    assert names == []
    assert any("no RDF" in problem for problem in problems)
    assert any("beside a.jpg" in problem for problem in problems)


def test_a_name_without_a_place_is_taken_where_there_is_one_face(
    gallery: SqliteStore, tmp_path: Path, extractor: GridExtractor
) -> None:
    for name, cells in (("one.jpg", {(0, 0): (1, 0)}), ("two.jpg", {(0, 0): (1, 1), (1, 0): (2, 0)})):
        save(tmp_path / "x" / name, cells)
        (tmp_path / "x" / f"{name}.json").write_text(json.dumps({"title": name, "people": [{"name": "Ada"}]}))
    scan(gallery, tmp_path / "x", extractor)
    library = Library(gallery)
    found = find_names(library)
    assert {
        name: [library.path(library.faces[f]).name for f in faces] for name, faces in found.faces.items()
    } == {"Ada": ["one.jpg"]}
    assert "which of 2 faces" in found.unplaced[0].reason
    library.confirm("Ada", [*found.faces["Ada"], max(library.faces)])
    library.reject("Ada", found.faces["Ada"])
    reasons = [one.reason for one in find_names(library).unplaced]
    assert any("said not to be Ada" in reason for reason in reasons)  # also not by import


def test_a_photo_that_was_cut_since_is_checked_by_its_faces(
    gallery: SqliteStore, tmp_path: Path, extractor: GridExtractor
) -> None:
    photo = save(tmp_path / "x" / "a.jpg", {(0, 0): (1, 0)})
    right, wrong = UPRIGHT["Ada"], Region(0.5, 0.75, 1 / 3, 0.5, "Bob")
    packet = write_people(None, Wanted([right, wrong], (), (500, 500)))
    photo.with_name("a.jpg.xmp").write_bytes(packet)
    scan(gallery, photo.parent, extractor)
    found = find_names(Library(gallery))
    assert list(found.faces) == ["Ada"]
    assert "the photo was cut since" in found.unplaced[0].reason


def test_packets_that_do_not_fit_into_a_jpeg(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    with pytest.raises(XmpError, match="use a sidecar"):
        with_xmp(buffer.getvalue(), b" " * 65_503)
    assert embedded_xmp(with_xmp(buffer.getvalue(), b" " * 65_502)) == b" " * 65_502
    with pytest.raises(XmpError, match="segments are broken"):
        with_xmp(b"\xff\xd8\xff\xe0\xff\xff", b"x")
    with pytest.raises(XmpError, match="expected a JPEG"):
        with_xmp(b"\x89PNG", b"x")
