"""PyTorch networks: encoders -> one sequence of states -> fusion -> head."""
