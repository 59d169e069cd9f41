"""What a model needs: evidence, distributions, local code, locks, and environments made from a lock alone."""
