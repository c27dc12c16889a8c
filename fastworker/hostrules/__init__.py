"""What the Functions host does, as pure functions: how it reads, converts, sends and writes things (protocol 2 to 7).

Used by `dev`, `invoke`, `TestClient`, and as the judge of the encoder's property tests.
Rule: nothing here imports anything of ours outside this folder, and nothing touches the system.
"""
