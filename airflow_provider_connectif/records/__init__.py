"""The types that all stages share: rows, changes, outcomes, and the protocols of sources and clients."""
