"""Where trials run: `tune` (Ray Tune, many at a time) or `inline` (this process, for a debugger)."""
