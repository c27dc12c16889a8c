"""The files that an app is configured by, read as the Functions host reads them."""
