"""A whole gallery out of one store and into another.

```
content  what a gallery holds, read from a store or put into one
format   the same as an open file format
merging  two galleries into one, with every conflict listed
anew     a gallery made again from its photos, by another model
```
"""
