"""MLflow: runs, the registry of models, the leaderboard."""
