"""Turn photos into batches: read and crop each once, keep the chips, vary them, choose what a batch has."""
