"""Search for the templates nearest to vectors.

```
base            what an index is, and its results in an exact, total order
├── exact         brute force: numpy for few, scikit-learn for many
├── neighbors     the same for rows of any length, by scikit-learn alone
└── approximate   an HNSW graph of faiss, for millions of templates
```
"""
