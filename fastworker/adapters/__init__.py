"""Apps that were not written for fastworker: azure.functions (v2 and v1), ASGI and WSGI applications.

detection.py recognises them by type, when app.py has imported a module; each adapter makes a fastworker App of one.
Rule: nothing here is imported before an app of that kind is there, and the libraries used are the app's own.
"""
