"""The queue of jobs: its database and the worker processes."""
