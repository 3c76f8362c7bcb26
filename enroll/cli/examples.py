"""Define each command's group in the help, and its examples.

The help has the groups in this order.
"""

from __future__ import annotations

_DAILY, _KEEP, _SERVE, _MODELS = "Faces", "Keeping", "For other programs", "Networks"
_PEOPLE, _CHECK, _COPY, _SEAL = "People", "Checking", "Copies and models", "Encryption"
_FIND, _DECIDE, _FILES = "Finding", "Deciding", "Files"

PANELS = {
    "enroll": _DAILY,
    "identify": _DAILY,
    "calibrate": _DAILY,
    "evaluate": _DAILY,
    "gallery": _KEEP,
    "library": _KEEP,
    "serve": _SERVE,
    "watch-frigate": _SERVE,
    "train": _MODELS,
    "prepare": _MODELS,
    "info": _MODELS,
    "data": _MODELS,
    "export": _MODELS,
    "quantize": _MODELS,
    **dict.fromkeys(
        (f"gallery {name}" for name in ("list", "show", "rename", "merge-people", "terms", "remove-photo")),
        _PEOPLE,
    ),
    **dict.fromkeys((f"gallery {name}" for name in ("remove", "remove-strangers", "purge")), _PEOPLE),
    **dict.fromkeys((f"gallery {name}" for name in ("doctor", "verify", "log")), _CHECK),
    **dict.fromkeys((f"gallery {name}" for name in ("export", "import", "merge", "re-embed")), _COPY),
    **dict.fromkeys((f"gallery {name}" for name in ("new-key", "encrypt", "drop-unreadable")), _SEAL),
    **dict.fromkeys(
        (f"library {name}" for name in ("scan", "groups", "suggestions", "find", "faces")), _FIND
    ),
    **dict.fromkeys((f"library {name}" for name in ("confirm", "reject", "ignore", "not-a-face")), _DECIDE),
    **dict.fromkeys(
        (f"library {name}" for name in ("unknown", "merge", "split", "undo", "history")), _DECIDE
    ),
    **dict.fromkeys((f"library {name}" for name in ("tag", "import-names", "sort", "forget")), _FILES),
}

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "embed enroll people",
        "embed identify photo.jpg",
        "embed --key gallery.key identify photo.jpg",
    ),
    "train": (
        "embed train people",
        "embed train parts --trunk imagenet:mobilenetv2 --model parts-model",
        "embed train people --config embed-model/train.toml --model again",
    ),
    "enroll": (
        "embed enroll people",
        'embed enroll --name "Ada" ada1.jpg ada2.jpg',
        "embed enroll people --preview crops.png",
        "embed enroll --strangers others",
    ),
    "identify": (
        "embed identify photo.jpg",
        "embed identify holiday --annotate out",
        "embed identify photo.jpg --explain",
        "embed identify --json holiday film.mp4",
        "embed identify --camera 0",
    ),
    "watch-frigate": (
        "embed watch-frigate http://frigate:5000",
        "embed watch-frigate http://frigate:5000 --broker mqtts://broker --user embed --password-file mqtt",
    ),
    "calibrate": (
        "embed calibrate",
        "embed calibrate --fpir 0.001 --strangers others",
        "embed calibrate --report calibration.html",
    ),
    "evaluate": (
        "embed evaluate people",
        "embed evaluate people --report report.html",
        "embed evaluate people --compare built-in embed-model",
    ),
    "prepare": ("embed prepare", "embed prepare --force"),
    "info": (
        "embed info",
        "embed info --model embed-model --json",
        "embed info --model embed-model --report training.html",
    ),
    "data": ("embed data orl faces",),
    "export": ("embed export face.onnx", "embed export face.tflite --format litert"),
    "quantize": ("embed quantize small --weights int8 --model embed-model",),
    "serve": (
        "embed serve",
        "embed serve --host 0.0.0.0 --allow-host photos.lan --certificate cert.pem --private-key key.pem",
    ),
    "serve keys": ("embed serve keys list",),
    "serve keys new": ('embed serve keys new --scope identify --label "camera at the door"',),
    "serve keys list": ("embed serve keys list", "embed serve keys list --json"),
    "serve keys revoke": ("embed serve keys revoke 1a2b3c4d",),
    "gallery": ("embed gallery list", "embed gallery doctor"),
    "gallery list": ("embed gallery list", "embed gallery list --json"),
    "gallery remove": ('embed gallery remove "Ada Lovelace"', "embed gallery remove -- -v"),
    "gallery remove-strangers": ("embed gallery remove-strangers",),
    "gallery rename": ('embed gallery rename Ada "Ada Lovelace"',),
    "gallery merge-people": ('embed gallery merge-people "Ada Lovelace" Ada',),
    "gallery show": ("embed gallery show Ada", "embed gallery show Ada --json"),
    "gallery terms": (
        'embed gallery terms Ada --consent "file 7" --consent-date 2026-01-31',
        "embed gallery terms Ada --expires 2099-12-31",
    ),
    "gallery purge": ("embed gallery purge",),
    "gallery log": ("embed gallery log", "embed gallery log --json"),
    "gallery new-key": ("embed gallery new-key gallery.key",),
    "gallery encrypt": ("embed --key gallery.key gallery encrypt",),
    "gallery drop-unreadable": ("embed --key gallery.key gallery drop-unreadable",),
    "gallery export": (
        "embed gallery export people.jsonl",
        "embed gallery export - | gzip > people.jsonl.gz",
    ),
    "gallery import": ("embed gallery import people.jsonl --gallery new.db",),
    "gallery merge": ("embed gallery merge other.db", "embed gallery merge other.db --same-name join"),
    "gallery verify": ("embed gallery verify", "embed gallery verify --photos"),
    "gallery re-embed": ("embed gallery re-embed --model embed-model", "embed gallery re-embed moved-photos"),
    "gallery doctor": (
        "embed gallery doctor",
        "embed gallery doctor --photos --json",
        "embed gallery doctor --report doctor.html",
    ),
    "gallery remove-photo": ("embed gallery remove-photo Ada people/Ada/3.jpg",),
    "library": ("embed library scan Photos", "embed library groups"),
    "library scan": ("embed library scan Photos", "embed library scan Photos --keep-unknown forever"),
    "library groups": ("embed library groups", "embed library groups --report groups.html"),
    "library suggestions": ("embed library suggestions",),
    "library confirm": ("embed library confirm Ada g12 --except f7", "embed library confirm Ada f1 f2"),
    "library reject": ("embed library reject Ada f1",),
    "library ignore": ("embed library ignore g3",),
    "library not-a-face": ("embed library not-a-face f9",),
    "library unknown": ("embed library unknown f1",),
    "library merge": ("embed library merge g1 g2", 'embed library merge "Ada Lovelace" Ada'),
    "library split": ("embed library split g1 f5",),
    "library undo": ("embed library undo", "embed library undo --steps 3"),
    "library history": ("embed library history",),
    "library faces": ("embed library faces --state ignored", "embed library faces --name Ada --json"),
    "library find": ("embed library find Ada", "embed library find Ada --json"),
    "library tag": ("embed library tag --dry-run", "embed library tag --embed"),
    "library import-names": ("embed library import-names --dry-run",),
    "library sort": ("embed library sort sorted --dry-run", "embed library sort sorted --mode hardlink"),
    "library forget": ("embed library forget --everything",),
}
