"""XMP of other programs is read in every notation, and written so that all else stays to the last byte."""

from __future__ import annotations

import time

import pytest

from enroll.library.regions import Region
from enroll.library.xmp import XmpError, read_people
from enroll.library.xmp_writing import Wanted, write_people

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
HEAD = f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='{RDF}'>
"""
TAIL = "</rdf:RDF></x:xmpmeta>\n" + " " * 40 + "<?xpacket end='w'?>"
NAMESPACES = """xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
  xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
  xmlns:MP="http://ns.microsoft.com/photo/1.2/" xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
  xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:darktable="http://darktable.sf.net/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/\""""
DIGIKAM = f"""{HEAD}<rdf:Description rdf:about="" {NAMESPACES} xmp:Rating='4' tiff:Orientation="6"
   darktable:xmp_version = "5">
 <dc:subject><rdf:Bag><rdf:li>holiday &#38; sun</rdf:li></rdf:Bag></dc:subject>
 <mwg-rs:Regions rdf:parseType="Resource">
  <mwg-rs:AppliedToDimensions stDim:w="800" stDim:h="600" stDim:unit="pixel"/>
  <mwg-rs:RegionList><rdf:Bag>
   <rdf:li><rdf:Description mwg-rs:Name="Ada" mwg-rs:Type="Face" mwg-rs:Rotation="0.5">
     <mwg-rs:Area stArea:x="0.3" stArea:y="0.8" stArea:w="0.4" stArea:h="0.2" stArea:unit="normalized"/>
   </rdf:Description></rdf:li>
   <rdf:li><rdf:Description mwg-rs:Type="Focus">
     <mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:w="0.1" stArea:h="0.1" stArea:unit="normalized"/>
   </rdf:Description></rdf:li>
  </rdf:Bag></mwg-rs:RegionList>
 </mwg-rs:Regions>
 <!-- a remark -->
</rdf:Description>{TAIL}"""
LIGHTROOM = f"""{HEAD}<rdf:Description rdf:about="" {NAMESPACES}>
 <mwg-rs:Regions><rdf:Description>
  <mwg-rs:AppliedToDimensions><rdf:Description><stDim:w>800</stDim:w><stDim:h>600</stDim:h>
  </rdf:Description></mwg-rs:AppliedToDimensions>
  <mwg-rs:RegionList><rdf:Seq><rdf:li rdf:parseType="Resource"><mwg-rs:Name>Ada</mwg-rs:Name>
   <mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Area rdf:parseType="Resource"><stArea:x>0,3</stArea:x>
   <stArea:y>0.8</stArea:y><stArea:w>0.4</stArea:w><stArea:h>0.2</stArea:h></mwg-rs:Area></rdf:li></rdf:Seq>
  </mwg-rs:RegionList></rdf:Description></mwg-rs:Regions></rdf:Description>{TAIL}"""
SHORTHAND = f"""{HEAD}<rdf:Description rdf:about="" {NAMESPACES}><mwg-rs:Regions rdf:parseType="Resource">
 <mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource" ><mwg-rs:Area stArea:x="0.3" stArea:y="0.8"
 stArea:d="0.2"/><mwg-rs:Name>Ada</mwg-rs:Name></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
</rdf:Description>{TAIL}"""
MICROSOFT = f"""{HEAD}<rdf:Description rdf:about="" {NAMESPACES}>
 <MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>
 <rdf:li MPReg:Rectangle="0.1, 0.7, 0.4, 0.2" MPReg:PersonDisplayName="Ada"/>
 <rdf:li MPReg:PersonDisplayName="Someone without a place"/></rdf:Bag></MPRI:Regions></MP:RegionInfo>
 <Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ada</rdf:li><rdf:li>Bob</rdf:li></rdf:Bag>
 </Iptc4xmpExt:PersonInImage></rdf:Description>{TAIL}"""
ADA = Region(0.3, 0.8, 0.4, 0.2, "Ada")


@pytest.mark.parametrize("packet", [DIGIKAM, LIGHTROOM, MICROSOFT], ids=["digikam", "lightroom", "microsoft"])
def test_every_notation_is_read(packet: str) -> None:
    said = read_people(packet.encode())
    (face,) = (region for region in said.regions if region.kind == "Face")
    assert face.name == "Ada"
    assert [face.x, face.y, face.w, face.h] == pytest.approx([0.3, 0.8, 0.4, 0.2])


def test_more_that_a_packet_says() -> None:
    said = read_people(DIGIKAM.encode())
    assert (said.applied, said.orientation) == ((800, 600), 6)
    assert [region.kind for region in said.regions] == ["Face", "Focus"]
    assert read_people(MICROSOFT.encode()).people == ("Ada", "Bob")
    (circle,) = read_people(SHORTHAND.encode()).regions
    assert (circle.w, circle.h, circle.kind) == (0.2, 0.2, "Face")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"])
def test_other_encodings(encoding: str) -> None:
    data = DIGIKAM.replace("\ufeff", "").encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    try:
        assert read_people(data).regions[0].name == "Ada"
    except XmpError:
        assert encoding == "utf-32"  # what libxml2 does not know is refused, not guessed


ENTITIES = "".join(
    f'<!ENTITY {name} "{f"&{former};" * 10}">'
    for former, name in zip("abcdefghij", "bcdefghijz", strict=True)
)
BOMB = f"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description>&z;</rdf:Description>
</rdf:RDF></x:xmpmeta>"""
OUTSIDE = f"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY z SYSTEM "file:///etc/passwd">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description>&z;</rdf:Description>
</rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (BOMB.encode(), "document type|broken XMP"),
        (OUTSIDE.encode(), "document type"),
        (DIGIKAM.encode()[:500], "broken XMP"),
        (b"", "broken XMP"),
        (b"\x00" * 100, "broken XMP"),
        (b"<html/>", "no RDF"),
        (HEAD.encode() + b"<a>" * 100_000, "broken XMP"),
        (b" " * (17 * 2**20), "MiB"),
    ],
    ids=["bomb", "outside", "cut", "empty", "zeros", "html", "deep", "large"],
)
def test_hostile_packets_are_refused(packet: bytes, words: str) -> None:
    begun = time.process_time()
    with pytest.raises(XmpError, match=words):
        read_people(packet)
    with pytest.raises(XmpError):
        write_people(packet, Wanted([ADA]))
    assert time.process_time() - begun < 5


def test_a_new_packet_says_what_is_wanted() -> None:
    packet = write_people(None, Wanted([ADA, Region(0.6, 0.2, 0.1, 0.1, "<Bob & Co>")], (), (800, 600)))
    said = read_people(packet)
    assert said.regions == (ADA, Region(0.6, 0.2, 0.1, 0.1, "<Bob & Co>"))
    assert said.people == ("Ada", "<Bob & Co>")
    assert said.applied == (800, 600)
    assert b"MPReg:Rectangle>0.100000, 0.700000, 0.400000, 0.200000<" in packet
    assert write_people(packet, Wanted([ADA])) == packet


def test_all_else_stays_to_the_last_byte() -> None:
    before = DIGIKAM.encode()
    after = write_people(before, Wanted([ADA, Region(0.7, 0.3, 0.1, 0.1, "Bob")]))
    start, end = (
        before.index(b"<mwg-rs:Regions"),
        before.index(b"</mwg-rs:Regions>") + len(b"</mwg-rs:Regions>"),
    )
    assert after.startswith(before[:start])
    rest, closing = before[end:].split(b"</rdf:RDF>")
    assert rest in after  # the remark, in the middle
    assert after.endswith(b"</rdf:RDF>" + closing)  # with the space that others keep for changes
    said = read_people(after)
    assert [(region.kind, region.name) for region in said.regions] == [
        *(("Face", "Ada"), ("Focus", None), ("Face", "Bob"))
    ]
    assert b'mwg-rs:Rotation="0.5"' in after
    assert said.people == ("Ada", "Bob")


def test_without_a_change_no_byte_changes() -> None:
    for packet in (DIGIKAM, LIGHTROOM, MICROSOFT):
        written = write_people(packet.encode(), Wanted([ADA]))
        assert write_people(written, Wanted([ADA])) == written


@pytest.mark.parametrize("packet", [DIGIKAM, LIGHTROOM, SHORTHAND, MICROSOFT])
def test_a_face_gets_another_name_in_its_notation(packet: str) -> None:
    moved = (
        Region(0.3, 0.8, 0.38, 0.21, "Eve") if packet is not SHORTHAND else Region(0.3, 0.8, 0.2, 0.2, "Eve")
    )
    after = write_people(packet.encode(), Wanted([moved]))
    said = read_people(after)
    faces = [region for region in said.regions if region.kind == "Face"]
    assert [face.name for face in faces] == ["Eve"]
    assert faces[0].w == pytest.approx(0.2 if packet is SHORTHAND else 0.4)  # the place is as it was
    assert "Ada" not in said.people
    assert "Eve" in said.people


def test_both_lists_hold_everyone() -> None:
    """Programs read one list: whoever stands in the other one alone would be lost to them."""
    bob = Region(0.7, 0.3, 0.1, 0.1, "Bob")
    for packet, lacked in ((MICROSOFT, b"mwg-rs:Regions"), (DIGIKAM, b"MP:RegionInfo")):
        after = write_people(packet.encode(), Wanted([bob]))
        start = after.index(b"<" + lacked)
        part = after[start : after.index(b"</" + lacked)]
        assert b">Ada<" in part
        assert b">Bob<" in part
        assert write_people(after, Wanted([bob])) == after


def test_a_name_that_was_refused_goes_and_others_stay() -> None:
    wrong = Region(0.3, 0.8, 0.4, 0.2, "Ada")
    after = read_people(write_people(MICROSOFT.encode(), Wanted([], [wrong])))
    assert after.regions == ()
    assert after.people == ("Bob",)
    kept = write_people(MICROSOFT.encode(), Wanted([], [Region(0.3, 0.8, 0.4, 0.2, "Zed")]))
    assert kept == MICROSOFT.encode()


def test_the_regions_of_a_photo_go_along_into_its_sidecar() -> None:
    packet = write_people(None, Wanted([Region(0.7, 0.3, 0.1, 0.1, "Bob")]), base=DIGIKAM.encode())
    assert [(r.kind, r.name) for r in read_people(packet).regions] == [
        *(("Face", "Ada"), ("Focus", None), ("Face", "Bob"))
    ]
    assert b"holiday" not in packet


def test_a_packet_that_is_not_utf_8_is_not_written() -> None:
    with pytest.raises(XmpError, match="expected UTF-8"):
        write_people(
            DIGIKAM.replace("\ufeff", "").encode("utf-16"), Wanted([Region(0.7, 0.3, 0.1, 0.1, "B")])
        )


@pytest.mark.parametrize(
    ("old", "new"), [(b'unit="normalized"', b'unit="pixel"'), (b'stArea:y="0.5', b'stArea:y="1e300')]
)
def test_places_in_other_units_and_without_end_are_not_read(old: bytes, new: bytes) -> None:
    packet = write_people(None, Wanted([Region(0.5, 0.5, 0.2, 0.2, name="Ada")]))
    assert b'stArea:x="0.500000"' in packet
    packet = packet.replace(b'stArea:x="0.500000"', b'stArea:x="0.4"')
    (ours,) = read_people(packet).regions
    assert old in packet
    (theirs,) = read_people(packet.replace(old, new)).regions
    assert (ours.x, theirs.x) == (0.4, 0.5)  # what is left is the list of Microsoft


def test_padding_around_a_packet_is_no_harm() -> None:
    packet = write_people(None, Wanted((), people=["Ada"]))
    assert read_people(b"\0\n " + packet + b" \n\0\0").people == ("Ada",)
