"""Frigate's messages, and what Home Assistant reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enroll.watch.messages import LONGEST, FrigateEvent, Topics, read_event, slug, sub_label_body
from tests.enroll.watch.stands import event

ID = "1718987129.308396-fqk5ka"


def test_an_event_is_read():
    assert read_event(event("update", ID)) == FrigateEvent("update", ID, "door", "person", None, True)
    assert read_event(event("end", ID, sub_label=["Ada", 0.91])).sub_label == "Ada"
    assert read_event(event("end", ID, sub_label="Ada")).sub_label == "Ada"
    assert read_event(event("new", ID, has_snapshot=False)).has_snapshot is False


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b'{"type": "new"}',
        b'{"type": "new", "after": 7}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type": "new", "after": {"id": "1-a", "camera": "door", "label": NaN}}',
        event("gone", ID),
        event("new", ID, label=5),
        event("new", ID, camera=None),
        event("new", "../../config"),
        event("new", "..-a"),
        event("new", "1/../../x"),
        event("new", "1%2f"),
        event("new", "a" * 101),
        event("new", "1-a\n"),
        event("new", ID, camera="do/or"),
        event("new", ID, camera="door+"),
        event("new", ID, camera="#"),
        event("new", ID, camera="a\0b"),
        event("new", ID, camera="x" * 101),
        event("new", ID, padding="x" * LONGEST),
    ],
    ids=range(24),
)
def test_what_is_no_event_is_none(payload: bytes):
    assert read_event(payload) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_nothing_that_json_can_say_is_an_exception(content):
    for payload in (content, {"type": "new", "after": content}, {"type": content, "after": {"id": content}}):
        assert read_event(json.dumps(payload).encode()) is None


def test_sub_labels_are_as_frigate_takes_them():
    assert json.loads(sub_label_body("Ada", 0.91)) == {"subLabel": "Ada", "subLabelScore": 0.91}
    assert json.loads(sub_label_body("x" * 300, 0.0)) == {"subLabel": "x" * 100, "subLabelScore": 0.01}
    assert json.loads(sub_label_body("Zoë", 1.7))["subLabelScore"] == 1.0


@given(st.text(max_size=200))
def test_a_slug_is_a_part_of_a_topic_and_of_an_id(text: str):
    found = slug(text)
    assert found and found.isascii() and not set(found) - set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert len(found) <= 47


def test_slugs_of_different_names_differ():
    names = ["ada", "Ada", "ADA", "a da", "a-da", "李", "王", "", "_", "x", "a" * 60, "a" * 61]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("front_door") == "front_door" and slug("Zoë K") == "zo_k_7988f8"


def test_discovery_is_as_home_assistant_reads_it():
    topics = Topics("my/embed", "homeassistant")
    topic, content = topics.camera_config("front door", "0.1.0")
    told = json.loads(content)
    assert topic.startswith("homeassistant/sensor/my_embed_") and topic.endswith("/config")
    assert len(topic.split("/")) == 5  # prefix, component, node, object, config
    assert told["state_topic"] == told["json_attributes_topic"] == "my/embed/cameras/front door"
    assert told["value_template"] == "{{ value_json.name }}"
    assert told["availability_topic"] == "my/embed/status"
    _, person = topics.person_config("Zoë", "0.1.0")
    other = json.loads(person)
    assert other["name"] == "Zoë last seen" and other["value_template"] == "{{ value_json.camera }}"
    assert other["unique_id"] != told["unique_id"] and other["device"] == told["device"]
    assert other["state_topic"] == topics.person("Zoë") and "Zoë" not in other["state_topic"]
