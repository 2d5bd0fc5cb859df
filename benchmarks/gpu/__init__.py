"""Tries everything on a bare GPU machine without a network, in two commands of six minutes each. See README.md."""
