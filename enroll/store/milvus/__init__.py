"""A gallery in Milvus, for several machines; the only place that imports pymilvus.

```
store ─┬─ address ── connection   milvus:// addresses, requests with time limits
       ├─ ledger                  append-only facts: who is enrolled
       ├─ enrolling, erasing      changes without transactions, finished by whoever comes next
       └─ templates               vectors: insert, read, search
```
"""
