"""What an app needs around it to be deployed: images, infrastructure, manifests, workflows. For `add` and `new --with`.

Rule: pure; a module makes texts from names, figures and bindings, and writes no file.
"""
