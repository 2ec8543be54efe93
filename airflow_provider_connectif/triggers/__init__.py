"""What the triggerer runs while a task waits without a worker."""
