"""Store a gallery in one SQLite file; the only package that imports sqlite3.

```
store ─┬─ opening ── connection    open safely, wait for other writers
       ├─ schema                   tables and their migrations
       ├─ reader, writer ── rows   rows to objects and back, each with a checksum
       ├─ maintenance              sweep erased rows, encrypt a plain gallery
       └─ encryption               a key per person
```
"""
