"""The `embed` command: its sub-commands, how each ends, and the exit codes.

Errors are one line on standard error. The sub-commands are plain functions of the modules beside this one;
they get their names here, in the order of the help.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from enroll.cli import (
    doctor,
    enroll,
    evaluate,
    gallery,
    identify,
    library,
    library_files,
    library_review,
    prepare,
    serve,
    train,
    transfer,
    watch,
)
from enroll.cli.ending import end_well
from enroll.cli.terminal import printable, show_notices

_UsageFault: Any = typer.BadParameter.__base__  # of all that click says of a wrong command line


class Group(TyperGroup):
    """Commands under one name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options, without what Typer would load Pydantic for: options that are not given."""
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            parameter.process_value = partial(_unless_absent, parameter.process_value)
        return super().parse_args(ctx, args)


class CommandLine(Group):
    """The `embed` command. Its usage errors repeat what was typed, but no password and no key."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> typer.Context:
        """Read the options before the first command's name, and keep all that was typed."""
        typed = tuple(args)
        with _nothing_secret(typed):
            return super().make_context(info_name, args, parent, obj=typed, **extra)  # type: ignore[return-value]

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with _nothing_secret(ctx.obj):
            return super().invoke(ctx)


def _unless_absent(process: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    return None if value is None else process(context, value)


@contextmanager
def _nothing_secret(typed: Sequence[str]) -> Iterator[None]:
    """Change what a usage error says, before click shows it in its own form."""
    try:
        yield
    except _UsageFault as error:
        from enroll.store.redaction import hidden_as_typed

        if error.ctx is None or error.message != error.ctx.get_help():  # help, with its lines, stays
            error.message = printable(hidden_as_typed(error.message, typed))
            if type(error).__name__ == "NoSuchOption":
                error.message += (
                    "; a name or file that begins with a dash goes behind -- , as in "
                    "`embed gallery remove -- -v`"
                )
        raise


app = typer.Typer(
    cls=CommandLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: loading rich for it takes as long as all else
    context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
    help="Train a face-style embedding, enroll people, identify them: a name, or unknown.",
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"embed {version('embedder-enroll')}")
        except PackageNotFoundError:  # run from a copy of the source
            print("embed, not installed as a package")
        raise typer.Exit


def before_any_command(
    key: Annotated[
        Path | None,
        typer.Option(
            help="File with the key of an encrypted gallery; else EMBED_GALLERY_KEY_FILE, EMBED_GALLERY_KEY.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version this is."),
    ] = False,
) -> None:
    """Train a face-style embedding, enroll people, identify them: a name, or unknown."""
    show_notices()
    if key is not None:
        from enroll.store.keys import FILE_VARIABLE, KEY_VARIABLE

        os.environ[FILE_VARIABLE] = str(key)
        os.environ.pop(KEY_VARIABLE, None)  # what is given for one command comes before what is set for all


gallery_app = typer.Typer(cls=Group, no_args_is_help=True, help="People of a gallery, its keys, copies.")
app.add_typer(gallery_app, name="gallery")
library_app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Photo libraries: who is in the photos of a folder."
)
app.add_typer(library_app, name="library")
app.callback()(before_any_command)
serve_app = typer.Typer(invoke_without_command=True)
serve_app.callback()(serve.serve)
keys_app = typer.Typer(no_args_is_help=True, help="Keys of the server: make, list, revoke.")
serve_app.add_typer(keys_app, name="keys")
app.add_typer(serve_app, name="serve")

_COMMANDS: dict[str, Callable[..., None]] = {
    "train": train.train,
    "enroll": enroll.enroll,
    "identify": identify.identify,
    "watch-frigate": watch.watch_frigate,
    "calibrate": evaluate.calibrate_gallery,
    "evaluate": evaluate.evaluate_folder,
    "prepare": prepare.prepare,
    "info": train.info,
    "data": train.data,
    "export": train.export,
    "quantize": train.quantize,
}
_GALLERY_COMMANDS: dict[str, Callable[..., None]] = {
    "list": gallery.list_people,
    "remove": gallery.remove,
    "remove-strangers": gallery.remove_strangers,
    "rename": gallery.rename,
    "merge-people": gallery.merge_people,
    "show": gallery.show,
    "terms": gallery.change_terms,
    "purge": gallery.purge,
    "log": gallery.log,
    "new-key": gallery.new_key,
    "encrypt": gallery.encrypt,
    "forget-keyless": gallery.forget_keyless,
    "export": transfer.export_gallery,
    "import": transfer.import_gallery,
    "merge": transfer.merge_gallery,
    "verify": doctor.verify,
    "re-embed": transfer.re_embed,
    "doctor": doctor.doctor,
    "drop": gallery.drop,
}
_KEY_COMMANDS: dict[str, Callable[..., None]] = {
    "new": serve.new_key,
    "list": serve.list_keys,
    "revoke": serve.revoke_key,
}
_LIBRARY_COMMANDS: dict[str, Callable[..., None]] = {
    "scan": library.scan,
    "groups": library.groups,
    "suggestions": library.suggestions,
    "confirm": library_review.confirm,
    "reject": library_review.reject,
    "ignore": library_review.ignore,
    "not-a-face": library_review.not_a_face,
    "unknown": library_review.unknown,
    "merge": library_review.merge,
    "split": library_review.split,
    "undo": library_review.undo,
    "history": library_review.history,
    "faces": library_review.faces,
    "find": library.find,
    "tag": library_files.tag,
    "import-names": library_files.import_names,
    "sort": library_files.sort,
    "forget": library_review.forget,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
for _name, _command in _GALLERY_COMMANDS.items():
    gallery_app.command(_name)(_command)
for _name, _command in _KEY_COMMANDS.items():
    keys_app.command(_name)(_command)
for _name, _command in _LIBRARY_COMMANDS.items():
    library_app.command(_name)(_command)


def main() -> None:
    """Run the command line."""
    end_well(app)
