"""Who carries out attempts, and when."""
