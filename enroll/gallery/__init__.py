"""Keep the people of one model in a store.

```
gallery ─┬─ enrollment   photos of people into the store
         ├─ following    the search index, kept up to date
         ├─ threshold    the calibration that a gallery keeps
         ├─ photos       the files behind the templates
         ├─ doctor       the templates, for the doctor to examine
         └─ transfer     all of a gallery out, in, or into another one
            ├── jsonl    as an open file format
            └── reembed  made again from its photos, by another model
```
"""
