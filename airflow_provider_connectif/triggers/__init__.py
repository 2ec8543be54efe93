"""Triggers: they run in the triggerer while a task waits without a worker."""
