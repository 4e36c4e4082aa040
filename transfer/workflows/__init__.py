"""One module per thing that a user asks for, put together from stages."""
