"""Define the bodies of requests and responses about a photo library for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from enroll.library.review import State
from enroll.serve.schemas import Schema, TermsSchema

Number = Annotated[int, Field(ge=1, le=2**53)]
_MOST = 10_000  # faces of a decision


class StepSchema(Schema):
    """A decision."""

    number: int = Field(examples=[12])
    at: str | None = Field(description="When, ISO 8601.", examples=["2026-01-31T12:00:00+00:00"])
    by: str | None = Field(description="Which key, or null.", examples=["key k1"])
    what: str = Field(description="In words.", examples=["confirm 4 faces as Ada"])


class LibrarySchema(Schema):
    """How much a photo library holds, and how much waits."""

    photos: int = Field(examples=[50000])
    missing: int = Field(description="Photos that the last scan did not find any more.", examples=[0])
    faces: int = Field(description="Of all photos, whatever was decided about them.", examples=[81000])
    unknown: int = Field(
        description="Faces that wait for a name, without those that are probably ignored.", examples=[40000]
    )
    probably_ignored: int = Field(
        description="Unknown faces that groups leave out: they are like faces that someone ignored.",
        examples=[300],
    )
    confirmed: int = Field(examples=[30000])
    ignored: int = Field(examples=[10000])
    not_faces: int = Field(examples=[1000])
    ungrouped: int = Field(description="Unknown faces that no grouping has seen yet.", examples=[0])
    stale: int = Field(
        description="Faces that another model has seen: `embed library scan` again.", examples=[0]
    )
    command: str | None = Field(
        description="What to run where the server is, if nothing was scanned yet.",
        examples=["embed library scan FOLDER --gallery gallery.db"],
    )
    last: StepSchema | None = Field(description="What undo takes back.")


class NearestSchema(Schema):
    """The enrolled photo that speaks most for a name."""

    id: str = Field(examples=["17"])
    photo: str = Field(description="Where it was enrolled from; text, nothing that can be fetched.")
    crop: str = Field(examples=["/api/v1/people/Ada/photos/17/crop"])


class SuggestionSchema(Schema):
    """Why a name is suggested."""

    name: str = Field(examples=["Ada"])
    distance: float = Field(description="To their nearest enrolled photo, 0 to 2.", examples=[0.61])
    threshold: float = Field(description="Largest distance at which it is suggested.", examples=[1.02])
    second: float | None = Field(
        description="Distance of the next person, null if no one else is near.", examples=[1.01]
    )
    nearest: NearestSchema | None


class NameSchema(SuggestionSchema):
    """A name for a group of faces; the distance is that of the nearest one."""

    faces: int = Field(description="How many of the group are near enough.", examples=[4])


class LikeSchema(Schema):
    """The ignored face that a face is like most probably."""

    face: int = Field(examples=[9])
    photo: str = Field(description="Name of the photo's file; text, nothing that can be fetched.")
    crop: str = Field(examples=["/api/v1/library/faces/9/crop"])


class LibraryFace(Schema):
    """A face of a photo library."""

    face: int = Field(description="Its number, which never changes.", examples=[12])
    photo: str = Field(description="Name of the photo's file; text, nothing that can be fetched.")
    date: str = Field(
        description="When it was taken, else when the file was changed.", examples=["2024-05-01"]
    )
    box: tuple[int, int, int, int] = Field(
        description="x, y, width and height in pixels of the upright photo.", examples=[[40, 32, 100, 136]]
    )
    size: tuple[int, int] = Field(
        description="Width and height of the upright photo.", examples=[[4000, 3000]]
    )
    state: State
    like: LikeSchema | None = Field(description="Why it is probably ignored.")
    name: str | None = Field(description="Who was confirmed.", examples=["Ada"])
    source: str | None = Field(description="Who said so: user or import.", examples=["user"])
    refused: list[str] = Field(description="Who it is not, as someone said.", examples=[["Bob"]])
    poor: str | None = Field(
        description="Why it is too poor to recognize someone by, or null.", examples=["too small"]
    )
    group: int | None = Field(description="The group it waits in.", examples=[7])
    crop: str = Field(examples=["/api/v1/library/faces/12/crop"])
    whole: str = Field(
        description="The photo; it takes the scope enroll.", examples=["/api/v1/library/faces/12/photo"]
    )
    suggestion: SuggestionSchema | None = None


class GroupSchema(Schema):
    """Unknown faces of one person, most probably."""

    id: int = Field(description="It stays while the group grows.", examples=[7])
    size: int = Field(description="How many faces it has.", examples=[120])
    faces: list[LibraryFace] = Field(description="Some of them, those that fit least first.")
    names: list[NameSchema] = Field(default=[], description="Who they may be, the most likely first.")


class GroupsPage(Schema):
    """Some of the groups, the largest first."""

    groups: list[GroupSchema]
    total: int = Field(description="How many there are.", examples=[310])
    alone: int = Field(description="Faces that are alone.", examples=[2400])
    probably_ignored: int = Field(
        description="Faces left out, like ignored ones: `GET /library/faces?state=probably-ignored`.",
        examples=[300],
    )


class SuggestedPerson(Schema):
    """Someone, and unknown faces that are probably theirs."""

    name: str = Field(examples=["Ada"])
    size: int = Field(description="How many faces.", examples=[12])
    ids: list[int] = Field(description="All their numbers, the most doubtful first.", examples=[[12, 9]])
    faces: list[LibraryFace] = Field(description="Some of them, the most doubtful first.")
    names: list[NameSchema] = Field(default=[], description="This person, then who else they may be.")


class SuggestionsPage(Schema):
    """Some of those for whom faces are suggested, most faces first."""

    people: list[SuggestedPerson]
    total: int = Field(description="How many people there are.", examples=[40])
    faces: int = Field(description="How many faces.", examples=[900])
    threshold: float = Field(examples=[1.02])


class FacesPage(Schema):
    """Some faces."""

    faces: list[LibraryFace]
    total: int = Field(examples=[120])


class SightingSchema(Schema):
    """A person in a photo."""

    face: int = Field(examples=[12])
    photo: str = Field(description="Name of the photo's file; text, nothing that can be fetched.")
    date: str = Field(examples=["2024-05-01T10:00:00"])
    state: Literal["confirmed", "suggested"]
    distance: float | None = Field(description="Null if it was confirmed.", examples=[0.61])
    crop: str = Field(examples=["/api/v1/library/faces/12/crop"])
    whole: str = Field(examples=["/api/v1/library/faces/12/photo"])


class SightingsPage(Schema):
    """The photos of a person, by date."""

    name: str = Field(examples=["Ada"])
    photos: list[SightingSchema]
    total: int = Field(examples=[300])


class DecisionRequest(Schema):
    """A decision about faces."""

    do: Literal["confirm", "reject", "ignore", "not-a-face", "unknown", "merge", "split"] = Field(
        description="`confirm`: they are `name`, who is enrolled if new; `reject`: they are not `name`, for "
        "ever; `ignore`: strangers; `not-a-face`; `unknown`: takes a name, or that they are ignored, also "
        "probably, away; `merge`: faces or groups are one unknown person; `split`: faces leave their group, "
        "for ever."
    )
    faces: list[Number] = Field(default=[], max_length=_MOST, examples=[[12, 9]])
    groups: list[Number] = Field(default=[], max_length=1000, description="All of their faces.")
    left_out: list[Number] = Field(
        default=[], max_length=_MOST, description="Faces of the groups that are not meant."
    )
    name: str | None = Field(default=None, max_length=1000, examples=["Ada"])
    terms: TermsSchema | None = Field(
        default=None, description="On what terms they are enrolled; null leaves those there."
    )


class Decided(Schema):
    """What was decided; it is on the disk."""

    what: str = Field(description="In words.", examples=["confirm 4 faces as Ada"])
    added: int = Field(description="Faces that became photos to recognize the person by.", examples=[4])
    library: LibrarySchema


class UndoRequest(Schema):
    """How many decisions are taken back."""

    steps: int = Field(default=1, ge=1, le=1000)


class Undone(Schema):
    """What was taken back, the last decision first."""

    undone: list[str] = Field(examples=[["confirm 4 faces as Ada"]])
    library: LibrarySchema


class StepsPage(Schema):
    """Decisions that can be undone, the last one first."""

    steps: list[StepSchema]
    total: int = Field(examples=[1])


class GroupRequest(Schema):
    """How faces are grouped."""

    again: bool = Field(default=False, description="Group everything again; else groups stay and grow.")
