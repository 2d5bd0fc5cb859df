"""A trained model in a file: what it says of itself, and what it makes of pictures, without data set and study."""
