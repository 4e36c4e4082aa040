"""Where data sets lie, what must be true of them, and the embedded one. numpy and Pillow only."""
