"""What others may watch of a server: its spans, for OpenTelemetry."""
