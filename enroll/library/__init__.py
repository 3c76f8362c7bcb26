"""Find out who is in the photos and films of a folder.

```
scan ──> a gallery's file (enroll.store.library) ──> cluster: groups of unknown faces
                                                 ──> suggest, review, undo: names, given by people
                                                 ──> find, organize: photos of a person
xmp ──> regions, sidecars, embedded: names in files; imports: names of other programs
```
"""
