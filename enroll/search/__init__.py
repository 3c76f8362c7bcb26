"""Vectors to the templates nearest to them.

```
gallery ─┬─ following    keeps a finder in step with its store
         │   ├── exact         scikit-learn's brute force over a pool
         │   ├── approximate   faiss; its links are a graph, kept in an index_file
         │   └── or the engine's own, of enroll.store
         └─ ranking      answers of what a contract.Finder found: exact distances, a total order
```
"""
