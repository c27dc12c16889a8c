"""The least app there is, one function that echoes. For `start`; the peers' own apps are as small."""
