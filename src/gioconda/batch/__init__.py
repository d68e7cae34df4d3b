"""Many jobs of one table: read and checked whole, carried out by processes or Ray tasks, done ones skipped."""
