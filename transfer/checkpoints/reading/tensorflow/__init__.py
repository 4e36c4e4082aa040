"""TensorFlow checkpoints, read without TensorFlow: one-file V1, index and data files V2, SavedModel variables."""
