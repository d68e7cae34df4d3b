"""Tables of jobs: the whole table is checked first, then processes or Ray tasks run the jobs that are not done."""
