"""What can be known before the GPU hours: preflight.py for `search run`, doctor.py for `search check`."""
