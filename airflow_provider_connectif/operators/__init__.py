"""The operators that write contacts to Connectif, and their shared parts."""
