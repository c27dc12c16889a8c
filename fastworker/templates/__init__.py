"""What `fastworker new` writes: common/ and one folder per template. Each file ends in `.tmpl`, which is cut off.

Read by commands/new.py. Rule: `{{name}}` is the only thing that is filled in.
"""
