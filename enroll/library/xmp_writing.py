"""Write people into XMP packets: the bytes of three properties are replaced, all else is unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn
from xml.parsers import expat

from enroll.library.regions import Region, same_place
from enroll.library.xmp import (
    MICROSOFT,
    MWG,
    NAMESPACES,
    PEOPLE,
    XmpError,
    fields_of,
    load_etree,
    microsoft_region,
    mwg_region,
    parsed,
    properties,
    qname,
    read_regions,
    text_of,
)

_AGREE = 0.5  # share of the union from which two regions are of one face
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{NAMESPACES["rdf"]}">\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>\n'
)


@dataclass(frozen=True)
class Wanted:
    """Holds the people that a packet must state.

    Attributes:
        regions: faces with names, in the frame of the packet's own regions.
        gone: regions of faces that have lost their name; without a name: any name.
        size: width and height in pixels of the picture in that frame.
        people: names without a place, as of those in a film.
        absent: names of people who are not in it.
    """

    regions: Sequence[Region]
    gone: Sequence[Region] = ()
    size: tuple[int, int] = (0, 0)
    people: Sequence[str] = ()
    absent: Sequence[str] = ()


def write_people(packet: bytes | None, wanted: Wanted, base: bytes | None = None) -> bytes:
    """Return a packet with the wanted people; if it has them already, the same bytes.

    Faces that it has at the same places get the names; other regions stay, as does everything else.

    Args:
        packet: XMP in UTF-8; None makes a new one.
        wanted: the people.
        base: a packet whose regions a new one starts with, as those inside a photo beside its sidecar.

    Raises:
        XmpError: it cannot be read, or is not in UTF-8.
        MissingPackageError: lxml is not installed.
    """
    etree = load_etree()
    text = packet if packet is not None else _EMPTY.encode()
    top = properties(parsed(text))
    if base is not None:
        top = {**properties(parsed(base)), **top}
    names = [*(region.name for region in wanted.regions if region.name), *wanted.people]
    lost = {*(region.name for region in wanted.gone), *wanted.absent}
    there = [region for region in read_regions(top) if region.kind == "Face"]
    lost |= {old.name for old in there if any(same_place(old, new, _AGREE) for new in wanted.regions)}
    begin = _begun(there, wanted)
    changes = {}
    for key, element in (
        (MWG, _new_mwg(etree, top.get(qname(*MWG)), wanted, begin)),
        (MICROSOFT, _new_microsoft(etree, top.get(qname(*MICROSOFT)), wanted, begin)),
        (PEOPLE, _new_people(etree, top.get(qname(*PEOPLE)), names, lost - set(names))),
    ):
        if element is not None:
            changes[key] = etree.tostring(element, encoding="unicode", with_tail=False).encode()
    return _spliced(text, changes) if changes else text


def _begun(there: Sequence[Region], wanted: Wanted) -> Wanted:
    """Return what a list starts with that a packet lacks: the named faces of its other list, and new ones.

    Programs read one of the two lists, so both hold everyone.
    """
    old = []
    fresh = list(wanted.regions)
    for region in there:
        name = region.name
        for new in [new for new in fresh if same_place(region, new, _AGREE)][:1]:
            name = new.name
            fresh.remove(new)
        gone = any(same_place(region, one, _AGREE) and one.name in (None, name) for one in wanted.gone)
        if name and not gone:
            old.append(replace(region, name=name))
    return replace(wanted, regions=[*old, *fresh], gone=())


def _copied(etree: Any, node: Any, prefix: str, name: str) -> tuple[Any, bytes]:
    """Return a copy of a property to be changed, or a new one, and its former bytes."""
    if isinstance(node, str):
        raise XmpError(f"XMP that cannot be changed: {prefix}:{name} is an attribute, expected an element")
    if node is None:
        return etree.Element(qname(prefix, name), nsmap=NAMESPACES), b""
    before = etree.tostring(node, with_tail=False)
    return etree.fromstring(before), before


def _finished(etree: Any, element: Any, before: bytes, changed: bool) -> Any:
    if not changed:
        return None
    etree.cleanup_namespaces(element)
    return element


def _array(etree: Any, parent: Any, prefix: str, name: str) -> Any:
    """Return the array of a structure's field, made if it is missing."""
    field_ = fields_of(parent).get(qname(prefix, name))
    if field_ is None or isinstance(field_, str):
        holder = next(parent.iterchildren(qname("rdf", "Description")), parent)
        if holder is parent and not len(parent):
            parent.set(qname("rdf", "parseType"), "Resource")
        field_ = etree.SubElement(holder, qname(prefix, name))
    return _bag(etree, field_)


def _bag(etree: Any, node: Any) -> Any:
    for kind in ("Bag", "Seq", "Alt"):
        for array in node.iterchildren(qname("rdf", kind)):
            return array
    return etree.SubElement(node, qname("rdf", "Bag"))


def _rename(item: Any, prefix: str, name: str, value: str) -> bool:
    """Set a text field of a structure, in the notation it has; return whether it changed."""
    holders = [item, *item.iterchildren(qname("rdf", "Description"))]
    for holder in holders:
        if qname(prefix, name) in holder.attrib:
            changed: bool = holder.get(qname(prefix, name)) != value
            holder.set(qname(prefix, name), value)
            return changed
        for child in holder.iterchildren(qname(prefix, name)):
            changed = text_of(child) != value
            for inner in list(child):
                child.remove(inner)
            child.text = value
            return changed
    if len(item) == 0 and qname("rdf", "parseType") not in item.attrib:  # all fields are attributes
        item.set(qname(prefix, name), value)
        return True
    child = holders[-1].makeelement(qname(prefix, name))
    child.text = value
    holders[-1].append(child)
    return True


def _merge(array: Any, read: Any, wanted: Wanted, name_field: tuple[str, str], make: Any) -> bool:
    """Change an array of regions to the wanted ones; return whether it changed."""
    changed = False
    items = [(item, read(item)) for item in array.iterchildren(qname("rdf", "li"))]
    faces = [(item, region) for item, region in items if region is not None and region.kind == "Face"]
    for item, region in list(faces):
        if any(same_place(region, gone, _AGREE) and gone.name in (None, region.name) for gone in wanted.gone):
            array.remove(item)
            faces.remove((item, region))
            changed = True
    for region in wanted.regions:
        there = [item for item, other in faces if same_place(region, other, _AGREE)]
        if there:
            changed = bool(_rename(there[0], *name_field, region.name or "")) or changed
        else:
            array.append(make(region))
            changed = True
    return changed


def _new_mwg(etree: Any, node: Any, wanted: Wanted, begin: Wanted) -> Any:
    if node is None and not wanted.regions:
        return None
    element, before = _copied(etree, node, *MWG)

    def make(region: Region) -> Any:
        item = etree.Element(qname("rdf", "li"), {qname("rdf", "parseType"): "Resource"}, nsmap=NAMESPACES)
        area = {qname("stArea", key): _decimal(getattr(region, key)) for key in ("x", "y", "w", "h")}
        etree.SubElement(item, qname("mwg-rs", "Area"), {**area, qname("stArea", "unit"): "normalized"})
        etree.SubElement(item, qname("mwg-rs", "Name")).text = region.name
        etree.SubElement(item, qname("mwg-rs", "Type")).text = "Face"
        return item

    if not before:
        wanted = begin
        element.set(qname("rdf", "parseType"), "Resource")
        if all(wanted.size):
            size = dict(zip(("w", "h"), map(str, wanted.size), strict=True))
            sides = {qname("stDim", key): value for key, value in size.items()}
            etree.SubElement(
                element,
                qname("mwg-rs", "AppliedToDimensions"),
                {**sides, qname("stDim", "unit"): "pixel"},
            )
    array = _array(etree, element, "mwg-rs", "RegionList")
    return _finished(etree, element, before, _merge(array, mwg_region, wanted, ("mwg-rs", "Name"), make))


def _new_microsoft(etree: Any, node: Any, wanted: Wanted, begin: Wanted) -> Any:
    if node is None and not wanted.regions:
        return None
    element, before = _copied(etree, node, *MICROSOFT)

    def make(region: Region) -> Any:
        item = etree.Element(qname("rdf", "li"), {qname("rdf", "parseType"): "Resource"}, nsmap=NAMESPACES)
        rectangle = ", ".join(map(_decimal, region.box))
        etree.SubElement(item, qname("MPReg", "Rectangle")).text = rectangle
        etree.SubElement(item, qname("MPReg", "PersonDisplayName")).text = region.name
        return item

    if not before:
        wanted = begin
        element.set(qname("rdf", "parseType"), "Resource")
    array = _array(etree, element, "MPRI", "Regions")
    named = ("MPReg", "PersonDisplayName")
    return _finished(etree, element, before, _merge(array, microsoft_region, wanted, named, make))


def _new_people(etree: Any, node: Any, names: Sequence[str], lost: set[str | None]) -> Any:
    element, before = _copied(etree, node, *PEOPLE)
    if not before and not names:
        return None
    array, changed = _bag(etree, element), False
    for item in list(array.iterchildren(qname("rdf", "li"))):
        if text_of(item) in lost:
            array.remove(item)
            changed = True
    there = {text_of(item) for item in array.iterchildren(qname("rdf", "li"))}
    for name in dict.fromkeys(names):
        if name not in there:
            etree.SubElement(array, qname("rdf", "li")).text = name
            changed = True
    return _finished(etree, element, before, changed)


def _decimal(number: float) -> str:
    """Format a share: a point, six digits, from 0 to 1."""
    return f"{min(max(number, 0.0), 1.0):.6f}"


@dataclass
class _Places:
    """Holds the positions of properties in the bytes of a packet."""

    found: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    end: int = -1  # of the content of RDF


def _spliced(packet: bytes, changes: Mapping[tuple[str, str], bytes]) -> bytes:
    """Replace the bytes of properties; missing ones go into a description of their own."""
    places = _places(packet)
    edits = [(*places.found[key], element) for key, element in changes.items() if key in places.found]
    fresh = [element for key, element in changes.items() if key not in places.found]
    if fresh:
        inner = b"".join(b"   " + element + b"\n" for element in fresh)
        start = f'  <rdf:Description xmlns:rdf="{NAMESPACES["rdf"]}" rdf:about="">\n'.encode()
        edits.append((places.end, places.end, start + inner + b"  </rdf:Description>\n "))
    for start_at, end_at, element in sorted(edits, reverse=True):
        packet = packet[:start_at] + element + packet[end_at:]
    return packet


def _places(packet: bytes) -> _Places:
    """Find the properties that are about people, and the end of the RDF.

    Raises:
        XmpError: the packet is not in UTF-8, or writes its RDF as one empty element.
    """
    places = _Places()
    parser = expat.ParserCreate(namespace_separator=" ")
    keys = {f"{NAMESPACES[prefix]} {name}": (prefix, name) for prefix, name in (MWG, MICROSOFT, PEOPLE)}
    rdf = f"{NAMESPACES['rdf']} RDF"
    open_at: dict[str, int] = {}
    ended: list[str] = []

    def settle() -> None:
        for name in ended:
            places.found.setdefault(keys[name], (open_at.pop(name), parser.CurrentByteIndex))
        ended.clear()

    def start(name: str, _: object) -> None:
        settle()
        if name in keys and name not in open_at:
            open_at[name] = parser.CurrentByteIndex

    def end(name: str) -> None:
        settle()
        if name in keys:
            ended.append(name)
        elif name == rdf:
            places.end = parser.CurrentByteIndex

    def refuse(*_: object) -> NoReturn:
        raise XmpError("XMP with a document type, which XMP never has; it is not read")

    def other(*_: object) -> None:
        settle()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    parser.CharacterDataHandler = parser.CommentHandler = other
    parser.ProcessingInstructionHandler = parser.DefaultHandler = other
    body = packet.rstrip(b"\0 \t\r\n")
    try:
        body.decode("utf-8")
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeDecodeError) as error:
        raise XmpError(f"XMP that cannot be changed: expected UTF-8: {error}") from error
    if places.end < 0 or packet[places.end : places.end + 2] != b"</":
        raise XmpError("XMP that cannot be changed: its RDF is empty")
    return places
