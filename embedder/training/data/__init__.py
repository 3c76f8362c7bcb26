"""Turn photos into batches: read and crop them, store crops, draw views, sample batches."""
