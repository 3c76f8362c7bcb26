"""Define the bodies of requests and responses for OpenAPI."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """A JSON object; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class ProblemSchema(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="What kind of error it is.", examples=["/problems/unknown-person"])
    title: str = Field(description="The kind in words.", examples=["No one of that name is enrolled"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What is wrong with this request.", examples=["'Ada': not enrolled"])
    advice: str = Field(description="What to do.", examples=["GET /api/v1/people lists who is."])
    request_id: str = Field(description="Under which the log has it.", examples=["a1b2c3d4e5f60718"])


class Candidate(Schema):
    """An enrolled person, and how near their nearest photo is."""

    identity: str = Field(examples=["Ada"])
    distance: float = Field(description="Between unit vectors, 0 to 2.", examples=[0.61])


class Neighbour(Schema):
    """An enrolled photo near a face."""

    identity: str = Field(examples=["Ada"])
    distance: float = Field(examples=[0.61])
    path: str = Field(description="Where it was enrolled from; text, nothing that can be fetched.")


class Quality(Schema):
    """How well a face can be recognized."""

    size: float = Field(description="Width of the face in pixels.", examples=[96.0])
    visible: float = Field(description="Share of the face that lies in the picture.", examples=[1.0])
    sharpness: float = Field(description="Share of fine detail; below 0.1 is blurred.", examples=[0.34])
    brightness: float = Field(description="0 black to 1 white.", examples=[0.48])
    yaw: float = Field(description="Degrees the face looks aside.", examples=[-4.1])
    roll: float = Field(description="Degrees the head is tilted.", examples=[1.2])
    score: float = Field(description="The detector's certainty that it is a face.", examples=[0.93])


class Face(Schema):
    """The answer for one face."""

    box: tuple[int, int, int, int] | None = Field(
        description="x, y, width and height in pixels of the upright picture; null if all of it is the face.",
        examples=[[40, 32, 100, 136]],
    )
    points: list[list[float]] | None = Field(
        description="x and y of left eye, right eye, nose tip, and the corners of the mouth."
    )
    quality: Quality | None
    identity: str | None = Field(description="The name, or null for unknown.", examples=["Ada"])
    reason: Literal["match", "too_far", "ambiguous", "taken", "empty_gallery"] = Field(
        description="`match`; `too_far`: beyond the threshold; `ambiguous`: another person is nearly "
        "as near; `taken`: another face of the picture is nearer to that person; `empty_gallery`."
    )
    distance: float | None = Field(description="To the nearest enrolled photo, 0 to 2.", examples=[0.61])
    confidence: float | None = Field(
        description="Probability that the nearest person is the right one; null without a calibration.",
        examples=[0.98],
    )
    threshold: float = Field(description="Largest distance at which a name is given.", examples=[1.02])
    candidates: list[Candidate] = Field(description="The nearest people, nearest first.")
    neighbours: list[Neighbour] = Field(description="The nearest enrolled photos, with `explain`.")


class PromiseFacts(BaseModel):
    """What the threshold rests on."""

    source: Literal["gallery", "model", "given"] = Field(
        description="`gallery`: calibrated; `model`: what is known of the network; `given`: by the request."
    )
    target_fpir: float | None = Field(
        description="Share of strangers that is named at most.", examples=[0.01]
    )
    confidence: float | None
    searches: int | None
    identities: int | None
    known_people: int | None
    known_sets: int | None
    comparisons: int | None
    set_aside: int | None
    date: str | None
    warning: str | None = Field(description="Why it is in doubt, or null.")


class PhotoAnswer(Schema):
    """The answer for one picture: the object of `embed identify --json`."""

    photo: str = Field(description="The file's name as it was sent.", examples=["door.jpg"])
    error: str | None = Field(description="Why the picture could not be read, or null.")
    promise: PromiseFacts | None
    faces: list[Face]
    notes: list[str] = Field(description="What should be known of the picture: cut, read reduced.")
    no_face: str | None = Field(description="Why there is no face, or null.")


class Identified(Schema):
    """The answers for the pictures of a request, in their order."""

    answers: list[PhotoAnswer]
    threshold: float = Field(description="Largest distance at which a name is given.", examples=[1.02])
    promise: str = Field(description="What the threshold promises, as a sentence.")
    explanations: list[list[str]] | None = Field(
        default=None, description="With `explain`: per picture, the lines of `embed identify --explain`."
    )


class TermsSchema(Schema):
    """On what terms a person is in the gallery."""

    consent: str | None = Field(
        default=None, description="Where their consent is kept.", examples=["file 17"]
    )
    consent_date: date | None = Field(default=None, description="When it was given.", examples=["2026-01-31"])
    expires: date | None = Field(default=None, description="The last day on which they are identified.")


class PersonSchema(Schema):
    """Someone who is enrolled."""

    name: str = Field(examples=["Ada"])
    photos: int = Field(description="How many.", examples=[3])
    terms: TermsSchema
    expired: bool = Field(description="Their last day is over: they are not named any more.")


class PeoplePage(Schema):
    """Some of the people, by name."""

    people: list[PersonSchema]
    total: int = Field(description="How many there are that match.", examples=[1])


class PhotoSchema(Schema):
    """An enrolled photo."""

    id: str = Field(description="Never given again.", examples=["17"])
    sha256: str = Field(description="Of the picture's file.")
    photo: str = Field(description="Where it was enrolled from; text, nothing that can be fetched.")
    crop: str = Field(
        description="Route that shows the face, if the picture is still there.",
        examples=["/api/v1/people/Ada/photos/17/crop"],
    )


class PersonDetail(PersonSchema):
    """Someone who is enrolled, and their photos."""

    pictures: list[PhotoSchema]


class PhotosOf(Schema):
    """The photos of a person."""

    name: str
    photos: list[PhotoSchema]


class RejectedPhoto(Schema):
    """A picture that was not enrolled."""

    photo: str = Field(description="The file's name as it was sent.")
    reason: str = Field(description="Why not, and what to do.")


class EnrolledSchema(Schema):
    """What enrolling came to; it is on the disk."""

    name: str = Field(description="As it is stored.")
    added: int = Field(description="Pictures that became photos of the person.")
    already: int = Field(description="Pictures that were theirs before.")
    rejected: list[RejectedPhoto]
    photos: list[PhotoSchema] = Field(description="Those that were added.")
    notes: list[str] = Field(description="What should be looked at, such as several faces in a picture.")


class Rename(Schema):
    """A new name."""

    name: str = Field(examples=["Ada Lovelace"], max_length=1000)


class Merge(Schema):
    """Someone who is the same person."""

    other: str = Field(description="Whose photos go over, and whose name goes.", max_length=1000)


class Removed(Schema):
    """How many photos were erased."""

    removed: int


class Merged(Schema):
    """How many photos went over."""

    name: str
    moved: int


class CalibrationRequest(Schema):
    """How many strangers may be named."""

    fpir: float = Field(
        default=0.01, gt=0, lt=1, description="Share of strangers (false positive identification rate)."
    )


class CalibrationSchema(Schema):
    """The threshold of now, and what it rests on."""

    threshold: float | None = Field(description="Largest distance at which a name is given.")
    calibrated: bool = Field(description="By this gallery; else by what is known of the network.")
    sentence: str = Field(description="What is promised, in words.")
    warning: str | None = Field(description="Why it is in doubt, or null.")
    facts: dict[str, Any] = Field(description="The same as numbers.")
    set_aside: list[str] = Field(
        default=[], description="Photos that were not counted, since their names are probably wrong."
    )


class ModelSchema(Schema):
    """The network that is used."""

    trunk: str
    fingerprint: str = Field(description="SHA-256 of all that decides a vector.")
    dim: int = Field(description="Numbers of a vector.")
    crop: str = Field(description="`face`, or `whole`: every picture is one face.")
    input_size: int
    strangers: dict[str, Any] | None = Field(description="What is known of distances between strangers.")


class GallerySchema(Schema):
    """What is enrolled."""

    people: int
    photos: int
    strangers: int = Field(description="Photos of people who are known not to be enrolled.")
    expired: int = Field(description="People whose last day is over.")
    encrypted: bool
    keeps_photos: bool = Field(description="Whether pictures that are enrolled are kept, to show them.")
    folders: list[str] = Field(description="That POST /api/v1/jobs/enroll-folder may name.")
    journal: list[dict[str, Any]] = Field(
        description="The latest entries: when, what, how many photos, by which key."
    )


class EvaluationRequest(Schema):
    """How the gallery is evaluated."""

    splits: int = Field(default=20, ge=1, le=1000, description="Random divisions of the people.")
    known: float = Field(default=0.5, ge=0.01, le=0.99, description="Share of the people that is known.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1)


class DoctorRequest(Schema):
    """What the doctor looks at."""

    photos: bool = Field(default=False, description="Look at the pictures, too, for poor ones.")


class FolderRequest(Schema):
    """A folder to enroll."""

    folder: str = Field(description="One of those that `GET /api/v1/gallery` names.", examples=["people"])
    force: bool = Field(default=False, description="Enroll also faces that are too poor.")


class ReembedRequest(Schema):
    """How the gallery is made again."""

    force: bool = Field(default=False, description="Go on without people of whom no photo is left.")


class JobSchema(Schema):
    """Something that takes long."""

    id: str
    kind: Literal["enroll", "enroll-folder", "re-embed", "evaluation", "doctor", "calibration", "grouping"]
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    step: str = Field(description="What it does now.", examples=["Embedding"])
    done: int = Field(description="Steps done.")
    total: int = Field(description="Steps there are, 0 if that is not known.")
    made: str = Field(description="When it was asked for.", examples=["2026-01-31T12:00:00.250+00:00"])
    ended: str | None
    result: Any = Field(description="What it came to, when it is done.")
    problem: ProblemSchema | None = Field(description="Why it failed.")


class JobList(Schema):
    """The jobs of this server, the newest first."""

    jobs: list[JobSchema]
