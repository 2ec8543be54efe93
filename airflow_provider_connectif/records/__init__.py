"""The types that all stages share: rows, changes, outcomes, and what a run needs of others."""
