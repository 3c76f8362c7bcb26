"""Read people in XMP packets: face regions of the Metadata Working Group and of Microsoft.

A packet is read as RDF, whichever of its notations a program wrote. One with a document type is refused:
entities could expand without end, or read files.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from embedder.errors import MissingPackageError
from enroll.library.regions import Region

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
LARGEST = 16 * 2**20  # bytes of a packet; those of panoramas have some
MWG, MICROSOFT = ("mwg-rs", "Regions"), ("MP", "RegionInfo")
PEOPLE = ("Iptc4xmpExt", "PersonInImage")


class XmpError(Exception):
    """Raised for a packet that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class XmpPeople:
    """Holds the people of a packet.

    Attributes:
        regions: of the Metadata Working Group, else of Microsoft; also those that are no faces.
        people: names without a place.
        applied: width and height that the regions were made for, None if unknown.
        orientation: EXIF's, as the packet says; None if it does not.
        extension: of the file that a sidecar belongs to, if it says.
    """

    regions: tuple[Region, ...] = ()
    people: tuple[str, ...] = ()
    applied: tuple[int, int] | None = None
    orientation: int | None = None
    extension: str | None = None


def qname(prefix: str, name: str) -> str:
    """Return a name with its namespace."""
    return f"{{{NAMESPACES[prefix]}}}{name}"


def load_etree() -> Any:
    """Import the parser.

    Raises:
        MissingPackageError: lxml is not installed.
    """
    if find_spec("lxml") is None:
        raise MissingPackageError(
            "names in XMP need the package lxml: pip install 'embedder-enroll[library]'"
        )
    from lxml import etree

    return etree


def parsed(packet: bytes) -> Any:
    """Parse a packet, and return its root.

    Raises:
        XmpError: it is no XMP, too large, or has a document type.
    """
    etree = load_etree()
    if len(packet) > LARGEST:
        raise XmpError(f"XMP of {len(packet) / 2**20:.0f} MiB, at most {LARGEST / 2**20:.0f} are read")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=False
    )
    if packet[:2] not in (b"\xff\xfe", b"\xfe\xff"):  # in UTF-16 these are halves of letters
        packet = packet.strip(b"\0 \t\r\n")
    try:
        tree = etree.parse(io.BytesIO(packet), parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise XmpError(f"broken XMP: {reason[:120] or 'it is empty'}") from error
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise XmpError("XMP with a document type, which XMP never has; it is not read")
    root = tree.getroot()
    if root.tag != qname("rdf", "RDF") and next(root.iter(qname("rdf", "RDF")), None) is None:
        raise XmpError("no XMP: it holds no RDF")
    return root


def read_people(packet: bytes) -> XmpPeople:
    """Read the people of a packet.

    Args:
        packet: XMP in any encoding that XML may have.

    Raises:
        XmpError: it cannot be read.
        MissingPackageError: lxml is not installed.
    """
    top = properties(parsed(packet))
    _, applied = _mwg(top.get(qname(*MWG)))
    people = tuple(filter(None, map(text_of, _items(top.get(qname(*PEOPLE))))))
    turned = text_of(top.get(qname("tiff", "Orientation"))).strip()
    return XmpPeople(
        tuple(read_regions(top)),
        people,
        applied,
        int(turned) if turned in tuple("12345678") else None,
        text_of(top.get(qname("photoshop", "SidecarForExtension"))) or None,
    )


def read_regions(top: Mapping[str, Any]) -> list[Region]:
    """Return the regions among some properties: of the Metadata Working Group, else of Microsoft."""
    return _mwg(top.get(qname(*MWG)))[0] or _microsoft(top.get(qname(*MICROSOFT)))


def properties(root: Any) -> dict[str, Any]:
    """Return the properties of all descriptions of a packet."""
    found: dict[str, Any] = {}
    rdf = root if root.tag == qname("rdf", "RDF") else next(root.iter(qname("rdf", "RDF")))
    for description in rdf.iterchildren(qname("rdf", "Description")):
        for name, value in fields_of(description).items():
            found.setdefault(name, value)
    return found


def fields_of(node: Any) -> dict[str, Any]:
    """Return the fields of a structure: attributes, elements, or either in a description inside."""
    if node is None or isinstance(node, str):
        return {}
    found: dict[str, Any] = {
        name: value for name, value in node.attrib.items() if not name.startswith(qname("rdf", ""))
    }
    for child in node.iterchildren("*"):
        if child.tag == qname("rdf", "Description"):
            found |= fields_of(child)
        elif child.tag != qname("rdf", "value"):
            found[child.tag] = child
    return found


def _items(node: Any) -> list[Any]:
    """Return the items of an array."""
    if node is None or isinstance(node, str):
        return [] if node is None else [node]
    for kind in ("Bag", "Seq", "Alt"):
        for array in node.iterchildren(qname("rdf", kind)):
            return list(array.iterchildren(qname("rdf", "li")))
    return []


def text_of(node: Any) -> str:
    """Return the text of a value, "" if there is none."""
    if node is None:
        return ""
    return node if isinstance(node, str) else "".join(node.itertext()).strip()


def _number(text: str) -> float:
    """Parse a number; some programs write a comma where their country does.

    Raises:
        ValueError: it is none, or not finite.
    """
    number = float(text.strip().replace(",", "."))
    if not -1e9 < number < 1e9:
        raise ValueError(text)
    return number


def _mwg(node: Any) -> tuple[list[Region], tuple[int, int] | None]:
    regions, fields_ = [], fields_of(node)
    size = fields_of(fields_.get(qname("mwg-rs", "AppliedToDimensions")))
    try:
        applied = tuple(round(_number(text_of(size.get(qname("stDim", side))))) for side in ("w", "h"))
    except ValueError:
        applied = ()
    for item in _items(fields_.get(qname("mwg-rs", "RegionList"))):
        region = mwg_region(item)
        if region is not None:
            regions.append(region)
    return regions, (applied[0], applied[1]) if applied and min(applied) > 0 else None


def mwg_region(item: Any) -> Region | None:
    """Return a region of a list; None if its place cannot be read."""
    own = fields_of(item)
    area = fields_of(own.get(qname("mwg-rs", "Area")))
    values = {key: text_of(area.get(qname("stArea", key))) for key in ("x", "y", "w", "h", "d", "unit")}
    if values["unit"] not in ("", "normalized"):
        return None
    try:
        x, y = _number(values["x"]), _number(values["y"])
        w = _number(values["w"] or values["d"] or "0")
        h = _number(values["h"] or values["d"] or "0")
    except ValueError:
        return None
    name = text_of(own.get(qname("mwg-rs", "Name"))) or None
    return Region(x, y, w, h, name, text_of(own.get(qname("mwg-rs", "Type"))) or "Face")


def _microsoft(node: Any) -> list[Region]:
    found = map(microsoft_region, _items(fields_of(node).get(qname("MPRI", "Regions"))))
    return [region for region in found if region is not None]


def microsoft_region(item: Any) -> Region | None:
    """Return a region of Microsoft's list; None if its place cannot be read."""
    own = fields_of(item)
    try:
        x, y, w, h = map(_number, text_of(own.get(qname("MPReg", "Rectangle"))).split(","))
    except ValueError:
        return None
    return Region(x + w / 2, y + h / 2, w, h, text_of(own.get(qname("MPReg", "PersonDisplayName"))) or None)
