"""Measure identification and verification.

```
protocol ─── repeated open-set splits, estimates with intervals
├── estimates      shares with their bootstrap intervals
├── splits         which people to enroll and to search for, and the searches
├── samples        photos of people as arrays
├── verification   pairs of photos: same person or not
├── lfw            the pairs of the LFW protocol
└── analysis       which people are confused, worst photos, FPIR by gallery size
```
"""
