"""Counts, progress, reasons and the words of a run's log. Depends on no stage."""
