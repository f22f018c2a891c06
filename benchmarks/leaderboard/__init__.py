"""The leaderboard: agents by tasks by seeds, scored and drawn."""
