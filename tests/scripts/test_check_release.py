"""What the check of a release runs, and that it notices a failure; itself it is `make release-check`."""

from __future__ import annotations

import sys
from pathlib import Path

import check_release
import pytest

README = (check_release.ROOT / "README.md").read_text(encoding="utf-8")


def test_the_commands_of_readme_are_found_and_none_is_left_out_that_is_not_there():
    commands = check_release.readme_commands(README)
    assert "embed identify photo.jpg" in commands
    assert "embed calibrate --fpir 0.01" in commands
    assert set(check_release.LEFT_OUT) <= set(commands)
    assert len(set(commands) - set(check_release.LEFT_OUT)) > 5
    assert not [command for command in commands if "#" in command or "$" in command]


def test_every_extra_of_users_is_installed_alone():
    extras = set(check_release.extras())
    assert {"serve", "video", "library"} <= extras - check_release.FOR_TESTS
    assert extras >= check_release.FOR_TESTS
    assert any(entry.startswith("twine") for entry in check_release.requirements("release"))


def test_a_program_that_fails_ends_the_check_with_what_it_said(tmp_path: Path):
    with pytest.raises(check_release.FailedError, match=r"(?s)print.*seen.*exit code 3"):
        check_release.run(tmp_path, sys.executable, "-c", "print('seen'); raise SystemExit(3)")
    assert check_release.run(tmp_path, sys.executable, "-c", "print(1)") == "1\n"


def test_a_step_that_fails_is_the_end(monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise check_release.FailedError("built nothing")

    monkeypatch.setattr(check_release, "check", fails)
    monkeypatch.setattr(sys, "argv", ["check_release"])
    with pytest.raises(SystemExit, match="release-check: built nothing"):
        check_release.main()
