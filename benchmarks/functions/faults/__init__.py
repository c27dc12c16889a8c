"""The functions under test, and some that go wrong: crash, overrun, stuck. For `faults` and `deadline`."""
