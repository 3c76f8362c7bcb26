"""Turn photos into batches: read and crop each once, keep the crops, vary them, choose what a batch has."""
