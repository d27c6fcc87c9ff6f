"""Training: data, losses, optimisers and the stages of a recipe."""
