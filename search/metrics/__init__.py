"""What the answers to a split are worth: one measure, one file. Of NumPy alone, so that a report can resample them."""
