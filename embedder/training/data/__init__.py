"""Photos to batches: read and crop each photo once, keep the crops, vary them, choose what a batch has."""
