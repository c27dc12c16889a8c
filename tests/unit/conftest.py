"""Settings of the property-based tests."""

import hypothesis

# A busy machine must not fail a test: how long an example takes is no property of the code.
hypothesis.settings.register_profile("fastworker", deadline=None)
hypothesis.settings.load_profile("fastworker")
