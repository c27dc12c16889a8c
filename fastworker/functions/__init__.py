"""From decorated handlers to functions that can be invoked, and one invocation of them."""
