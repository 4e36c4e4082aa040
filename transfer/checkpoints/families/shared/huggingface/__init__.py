"""Networks of Hugging Face's transformers: their names, and what their config.json says."""
