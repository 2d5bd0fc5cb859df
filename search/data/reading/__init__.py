"""From a file to an array: pictures opened and turned, broken ones named, what was read put in a line."""
