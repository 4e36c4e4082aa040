"""Images of a corpus where they lie: files in folders, tar archives and parquet files, cut into pieces of work.

`inputs` finds the pieces that paths stand for, and reads the images of a piece. `files`, `tar` and `parquet` each know
one kind of place and offer the same two functions, `read_piece` and `read_images`.
"""
