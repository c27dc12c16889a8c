"""The worker process: reads requests, runs functions, writes answers."""
