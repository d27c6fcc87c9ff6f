"""Goals on a GPU: shares of what the same card was measured to do, and ratios to peers in the same run."""
