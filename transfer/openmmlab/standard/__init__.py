"""What heads have in common: models, pipelines and schedules as plain functions that return config dicts."""
