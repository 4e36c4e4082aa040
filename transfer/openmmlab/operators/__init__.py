"""The operators that stand in for compiled ones, one file per subject; `transfer.openmmlab.ops` collects them."""
