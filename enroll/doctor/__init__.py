"""Find what may be wrong in a gallery, from its templates alone.

```
examine ─┬─ evidence   nearest photos of others; what a distance says
         └─ labels     mislabeled photos, one person under two names
```
"""
