"""One module per scenario, each with NAME and run(); __main__.py finds them."""
