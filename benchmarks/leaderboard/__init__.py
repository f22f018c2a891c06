"""The leaderboard: runs agents on tasks, scores the runs and draws the results."""
