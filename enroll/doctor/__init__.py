"""What may be wrong in a gallery, found from its templates alone.

```
examine ─┬─> crowd     templates by person, and the nearest ones of others
         ├─> likeness  how near a photo is to a person, and what that says
         ├─> twins     the same person under two names
         ├─> mistaken  photos that do not look like their person
         ├─> confused  people who come near enough to be named for each other
         └─> growth    the FPIR to expect as the gallery grows
poor     what only the photos' own files can tell
words    findings as text and as JSON, with the commands that mend them; handles: how those name a photo
```
"""
