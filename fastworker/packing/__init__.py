"""From a function app's folder to a zip that runs in Azure, for `fastworker pack`.

Rule: the zip depends on the folder, the packages and the target only: the same input gives the same bytes.
"""
