"""Who an event shows: its snapshots together, with a stand-in for Frigate's two routes."""

from __future__ import annotations

import pytest

from embedder.errors import UsageError
from enroll import Gallery
from enroll.watch import events as events_module
from enroll.watch.events import EventIdentifier, WatchConfig
from enroll.watch.frigate import Frigate, FrigateError
from enroll.watch.messages import read_event
from tests.conftest import ToyExtractor
from tests.enroll.watch.conftest import ADA, BOB, STRANGER
from tests.enroll.watch.stands import FrigateStand, event
from tests.ports import free_port

NEAR = 0.4  # a threshold between the toy's distances of one person and of two


class Watched:
    """An identifier with a clock that a test moves."""

    def __init__(self, toy, gallery: Gallery, frigate: FrigateStand, **config):
        self.now = 100.0
        self.identifier = EventIdentifier(
            toy, gallery, Frigate(frigate.address), NEAR, WatchConfig(**config), lambda: self.now
        )

    def hear(self, kind: str, name: str, **more):
        message = read_event(event(kind, name, **more))
        assert message is not None
        self.identifier.hear(message)
        return self.identifier.work()

    def later(self, seconds: float = 1.0):
        self.now += seconds
        return self.identifier.work()


@pytest.fixture
def watched(toy: ToyExtractor, gallery: Gallery, frigate: FrigateStand) -> Watched:
    return Watched(toy, gallery, frigate)


def test_two_snapshots_that_agree_name_the_person(watched: Watched, frigate: FrigateStand, snapshots):
    frigate.pictures["1-a"] = snapshots(ADA, 3)
    assert watched.hear("new", "1-a") == []  # one snapshot names no one
    (answer,) = watched.later()
    agreement = answer.agreement
    assert (agreement.decision.identity, agreement.agreed, agreement.good, agreement.frames) == (
        "ada",
        2,
        2,
        2,
    )
    assert (answer.event, answer.camera, answer.final) == ("1-a", "door", False)
    assert 0.5 < answer.score <= 1
    assert frigate.labels == {"1-a": [{"subLabel": "ada", "subLabelScore": round(answer.score, 3)}]}
    assert watched.later() == [] and watched.identifier.wait() is None  # that is enough
    (last,) = watched.hear("end", "1-a")
    assert last.final and last.agreement.decision.identity == "ada"
    assert len(frigate.labels["1-a"]) == 1 and len(watched.identifier) == 0


def test_only_the_two_routes_of_the_given_address_are_asked(watched: Watched, frigate, snapshots):
    frigate.pictures["1-a"] = snapshots(ADA, 3)
    watched.hear("new", "1-a")
    watched.later()
    routes = {(method, path) for method, path, _ in frigate.asked}
    assert routes == {("GET", "/api/events/1-a/snapshot.jpg"), ("POST", "/api/events/1-a/sub_label")}
    assert frigate.asked[0][2] == {"bbox": ["0"], "timestamp": ["0"], "crop": ["1"], "quality": ["95"]}


def test_the_same_snapshot_counts_once(watched: Watched, frigate: FrigateStand, snapshots):
    """Frigate gives its best snapshot again until it has a better one."""
    frigate.pictures["1-a"] = snapshots(ADA, 1)
    watched.hear("new", "1-a")
    for _ in range(5):
        assert watched.later() == []
    frigate.pictures["1-a"] = snapshots(ADA, 1, first=30)
    (answer,) = watched.hear("update", "1-a")
    assert (answer.agreement.decision.identity, answer.agreement.frames) == ("ada", 2)


def test_a_stranger_is_unknown_when_the_event_is_over(watched: Watched, frigate: FrigateStand, snapshots):
    frigate.pictures["1-s"] = snapshots(STRANGER, 5)
    assert watched.hear("new", "1-s") == [] and watched.later() == [] and watched.later() == []
    (answer,) = watched.hear("end", "1-s")
    assert answer.final and answer.agreement.decision.reason == "too_far"
    assert (answer.agreement.agreed, answer.agreement.frames) == (4, 4)
    assert frigate.labels == {}  # no label is better than a wrong one


def test_snapshots_that_contradict_name_no_one(watched: Watched, frigate: FrigateStand, snapshots):
    frigate.pictures["1-a"] = [
        pair for both in zip(snapshots(ADA, 4), snapshots(BOB, 4), strict=True) for pair in both
    ]
    assert watched.hear("new", "1-a") == []
    for _ in range(7):
        assert watched.later() == []
    (answer,) = watched.hear("end", "1-a")
    assert answer.agreement.decision.identity is None and frigate.labels == {}


def test_unknown_people_get_a_label_if_one_is_asked_for(toy, gallery, frigate: FrigateStand, snapshots):
    watched = Watched(toy, gallery, frigate, unknown_label="stranger")
    frigate.pictures["1-s"] = snapshots(STRANGER, 3)
    watched.hear("new", "1-s")
    assert frigate.labels == {}
    watched.hear("end", "1-s")
    assert [label["subLabel"] for label in frigate.labels["1-s"]] == ["stranger"]


def test_labels_of_others_stay(watched: Watched, toy, gallery, frigate: FrigateStand, snapshots):
    """Frigate's own recognition, or a person, has named someone."""
    frigate.pictures["1-a"] = snapshots(ADA, 8)
    watched.hear("new", "1-a")
    (answer,) = watched.hear("update", "1-a", sub_label=["Eve", 0.9])
    assert answer.agreement.decision.identity == "ada" and frigate.labels == {}
    over = Watched(toy, gallery, frigate, overwrite=True)
    over.hear("new", "1-a")
    over.hear("update", "1-a", sub_label=["Eve", 0.9])
    assert [label["subLabel"] for label in frigate.labels["1-a"]] == ["ada"]


def test_only_people_and_the_cameras_asked_for(toy, gallery, frigate: FrigateStand, snapshots):
    watched = Watched(toy, gallery, frigate, cameras=frozenset({"door"}))
    frigate.pictures["1-a"] = snapshots(ADA, 3)
    watched.hear("new", "1-a", label="dog")
    watched.hear("new", "1-a", camera="garden")
    assert frigate.asked == [] and len(watched.identifier) == 0
    watched.hear("new", "1-a")
    assert len(frigate.asked) == 1


def test_tries_are_few_and_apart(toy, gallery, frigate: FrigateStand, snapshots):
    watched = Watched(toy, gallery, frigate, tries=3, every=2.0)
    frigate.pictures["1-s"] = snapshots(STRANGER, 20)
    watched.hear("new", "1-s")
    assert watched.identifier.wait() == 2.0
    watched.later(1.0)
    assert len(frigate.asked) == 1
    watched.later(1.0)
    watched.hear("update", "1-s")  # a better picture is looked at at once
    for _ in range(5):
        watched.hear("update", "1-s")
        watched.later(5.0)
    assert len(frigate.asked) == 3


def test_an_event_without_a_snapshot_yet_and_one_that_began_before_us(watched: Watched, frigate, snapshots):
    assert watched.hear("new", "1-a", has_snapshot=False) == []
    frigate.pictures["1-a"] = snapshots(ADA, 2)
    watched.hear("update", "1-a")
    (answer,) = watched.hear("end", "1-a")
    assert answer.agreement.decision.identity == "ada"
    assert watched.hear("end", "1-b") == []


def test_a_snapshot_without_a_face_and_one_that_is_no_picture(
    watched: Watched, toy, frigate: FrigateStand, snapshots, monkeypatch, caplog
):
    frigate.pictures["1-a"] = [b"<html>no picture", *snapshots(ADA, 1)]
    monkeypatch.setattr(toy, "crops", lambda image: [])
    watched.hear("new", "1-a")
    watched.later()
    (answer,) = watched.hear("end", "1-a")
    decision = answer.agreement.decision
    assert (decision.reason, answer.agreement.frames, answer.score) == ("few_frames", 0, 0.0)
    assert "its snapshot cannot be read" in caplog.text


def test_many_events_take_no_more_memory(watched: Watched, frigate, monkeypatch, caplog):
    monkeypatch.setattr(events_module, "_MOST_EVENTS", 5)
    for number in range(20):
        watched.hear("new", f"{number}-a")
    assert len(watched.identifier) == 5
    assert "more than 5 events at a time; 14-a is not followed any more" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_what_frigate_refuses_is_said_and_the_next_event_goes_on(
    watched: Watched, frigate: FrigateStand, snapshots, caplog, status: int
):
    frigate.pictures["1-a"] = snapshots(ADA, 3)
    frigate.status = status
    watched.hear("new", "1-a")
    assert f"answers {status}" in caplog.text
    assert ("--token-file" in caplog.text) == (status in (401, 403))
    frigate.status = 0
    watched.later()
    (answer,) = watched.later()
    assert answer.agreement.decision.identity == "ada"


def test_no_redirect_is_followed(frigate: FrigateStand):
    """Wherever it leads: not to another host, and not to a file."""
    with FrigateStand() as other:
        frigate.status, frigate.location = 302, f"{other.address}/api/events/1-a/snapshot.jpg"
        with pytest.raises(FrigateError, match="redirect"):
            Frigate(frigate.address).snapshot("1-a")
        frigate.location = "file:///etc/passwd"
        with pytest.raises(FrigateError, match="redirect"):
            Frigate(frigate.address).snapshot("1-a")
        assert other.asked == []


def test_no_proxy_is_asked(frigate: FrigateStand, snapshots, monkeypatch: pytest.MonkeyPatch):
    frigate.pictures["1-a"] = snapshots(ADA, 1)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert Frigate(frigate.address).snapshot("1-a") == frigate.pictures["1-a"][0]


def test_a_server_that_is_not_there():
    with pytest.raises(FrigateError, match=r"does not answer: .*refused"):
        Frigate(f"http://127.0.0.1:{free_port()}").snapshot("1-a")


def test_a_snapshot_that_is_too_large(frigate: FrigateStand):
    from dataclasses import replace

    from embedder.config.faces import ImageLimits, use_limits

    frigate.pictures["1-a"] = [bytes(3000)]
    use_limits(replace(ImageLimits(), max_bytes=2000))
    try:
        with pytest.raises(FrigateError, match="MiB"):
            Frigate(frigate.address).snapshot("1-a")
    finally:
        use_limits(ImageLimits())


def test_a_token_is_sent_and_not_shown(frigate: FrigateStand):
    server = Frigate(frigate.address + "/", token="t0ken")
    frigate.status = 401
    with pytest.raises(FrigateError) as caught:
        server.snapshot("1-a")
    assert frigate.headers[0]["Authorization"] == "Bearer t0ken" and "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", "frigate", "ftp://h", "file:///etc", "http://", "http://u:s3cret@h", "http://h/?a=1", "http://h:x"],
)
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(UsageError) as caught:
        Frigate(address)
    assert "s3cret" not in str(caught.value)


def test_a_token_or_a_certificate_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="token"):
        Frigate("http://h", token="a\r\nX-Evil: 1")
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"ca\.pem: expected a certificate"):
        Frigate("https://h", ca=tmp_path / "ca.pem")


def test_events_are_answered_while_others_wait(watched: Watched, frigate: FrigateStand, snapshots):
    """Two people at two cameras at the same time."""
    frigate.pictures |= {"1-a": snapshots(ADA, 3), "2-b": snapshots(BOB, 3)}
    watched.hear("new", "1-a")
    watched.hear("new", "2-b", camera="garden")
    answers = watched.later()
    assert {(answer.camera, answer.agreement.decision.identity) for answer in answers} == {
        ("door", "ada"),
        ("garden", "bob"),
    }


def test_whom_another_process_enrolls_is_known_from_the_next_snapshot_on(
    watched: Watched, toy: ToyExtractor, frigate: FrigateStand, snapshots, gallery_file, tmp_path
):
    frigate.pictures["1-s"] = snapshots(STRANGER, 6)
    watched.hear("new", "1-s")
    (tmp_path / "eve.png").write_bytes(snapshots(STRANGER, 1, first=0)[0])
    with Gallery.open(gallery_file, toy, create=False) as other:
        other.enroll("eve", [tmp_path / "eve.png"])
    assert watched.later() == []
    (answer,) = watched.later()
    assert answer.agreement.decision.identity == "eve"
