"""Tests of what a run reports, at the operator's level: kinds of faults, each on unseen cases."""
