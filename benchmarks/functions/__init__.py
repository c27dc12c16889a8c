"""The functions under test, the same in every contender: order, echo, work, wait. calls.py says what is right."""
