"""HTML that cannot be broken out of: what is no `Html` yet is escaped wherever it goes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from embedder._internal.text import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 96  # pixels: people tell faces apart from 64 on; 50 pictures are 250 kB
_VOID = ("br", "img", "meta")


class Html(str):
    """A piece of HTML."""


def tag(name: str, *content: str, **attributes: str) -> Html:
    """Make an element.

    Args:
        name: of the element.
        content: pieces of HTML, and texts, which are escaped.
        attributes: an underscore is a hyphen, and one at the end is left out.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(clean(value))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{named}>")
    return Html(f"<{name}{named}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Html:
    """Put pieces one after another."""
    return Html(
        "".join(piece if isinstance(piece, Html) else escape(clean(piece)) for piece in content),
    )


def named(text: str) -> Html:
    """Give a name of people's or of a file; whichever way it runs, the text around it does not turn."""
    return tag("bdi", text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> Html:
    """Make a table.

    Args:
        head: titles of the columns.
        rows: as many cells each.
        numbers: columns that are aligned as numbers.
    """

    def cells(kind: str, texts: Sequence[str]) -> Html:
        return tag(
            "tr",
            *(
                tag(kind, text, **({"class": "number"} if column in numbers else {}))
                for column, text in enumerate(texts)
            ),
        )

    body = join(cells("td", row) for row in rows)
    inner = tag("table", tag("thead", cells("th", head)), tag("tbody", body))
    return tag("div", inner, class_="wide")


def picture(crop: NDArray[np.uint8], text: str) -> Html:
    """Show a picture, made smaller if it is large.

    Args:
        crop: (height, width, 3) uint8.
        text: what it shows, for those who do not see it.
    """
    image = Image.fromarray(crop)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = b64encode(buffer.getvalue()).decode("ascii")
    size = {"width": str(image.width), "height": str(image.height)}
    return tag("img", src=f"data:image/jpeg;base64,{data}", alt=text, **size)


def document(title: str, body: str) -> Html:
    """Make the page; its policy lets a browser load and run nothing, whatever is in it."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    page = tag("html", head, tag("body", tag("main", body)), lang="en")
    return Html(f"<!DOCTYPE html>\n{page}\n")


STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --paper: #fff; --rule: #d9d9d9;
  --mark: #0072b2; --plate: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #a8a8a8; --paper: #161616; --rule: #3c3c3c; --mark: #56b4e9;
    --plate: #222; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
bdi { overflow-wrap: anywhere; }
p { max-width: 46rem; margin: .5rem 0; }
dl { margin: .8rem 0; font-size: .93rem; }
.lead { font-size: 1.1rem; }
.soft, figcaption, dd { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .93rem; margin: .4rem 0; }
th, td { text-align: left; vertical-align: middle; padding: .28rem 1.1rem .28rem 0;
  border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
td img { display: block; width: 48px; height: auto; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
th.number { max-width: 7rem; }
.whisker { display: block; width: 8rem; height: 1.4rem; color: var(--mark); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr));
  gap: 1.8rem 2rem; }
figure { margin: 0; break-inside: avoid; }
figure h3 { margin: 0 0 .4rem; }
figure > svg { display: block; width: 100%; height: auto; background: #fff; border-radius: 4px; }
.small { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; }
.columns { display: flex; flex-wrap: wrap; gap: 0 2.5rem; }
.columns > div { min-width: 0; }
figcaption { font-size: .9rem; margin-top: .4rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1.2rem; }
.pair { break-inside: avoid; font-size: .88rem; line-height: 1.35; overflow-wrap: anywhere; }
.pair div { display: flex; gap: 4px; margin-bottom: .35rem; }
.pair img, .none { width: 96px; height: 96px; object-fit: contain; background: var(--plate); }
.none { display: flex; align-items: center; justify-content: center; color: var(--soft); }
dt { font-weight: 600; float: left; clear: left; margin-right: .5rem; }
dd { margin: 0 0 .3rem; }
summary { cursor: pointer; margin: .4rem 0; }
@media print {
  :root { --ink: #000; --soft: #444; --paper: #fff; --rule: #bbb; --mark: #0072b2; --plate: #f5f5f5; }
  :root { font-size: 11px; }
  main { max-width: none; padding: 0; }
  .plots { grid-template-columns: 1fr 1fr; }
  .pair img, .none { width: 72px; height: 72px; }
  .pairs { grid-template-columns: repeat(4, 1fr); }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
}
"""
