"""Store a gallery in Milvus, for several machines; the only package that imports pymilvus.

```
store ─┬─ address ── connection   milvus:// addresses, requests with time limits
       │                └─ clock   the moment of a read: how new it has to be
       ├─ ledger                  append-only facts: who is enrolled
       ├─ enrolling, erasing      changes without transactions, finished by the next client
       └─ templates               vectors: insert, read, search
```
"""
