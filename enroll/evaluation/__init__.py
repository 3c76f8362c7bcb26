"""Measure identification and verification.

```
protocol ─── repeated open-set splits, estimates with intervals
├── splits         whom to enroll, whom to search for, and the searches
├── samples        photos of people as arrays
├── verification   pairs of photos: same person or not
├── lfw            the pairs of the LFW protocol
└── analysis       who is confused with whom, worst photos, FPIR by gallery size
```
"""
