"""Counts, progress, reasons and the texts of a run's log. Depends on no stage."""
