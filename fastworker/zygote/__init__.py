"""The zygote process: imports the app once, and forks workers from it."""
