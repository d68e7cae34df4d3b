"""`gioconda serve`: a queue of jobs with worker processes, and the HTTP API on top of it."""
