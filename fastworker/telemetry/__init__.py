"""What others may watch of a server: its figures, and its spans for OpenTelemetry."""
