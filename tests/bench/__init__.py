"""Measures Coffer beside the mail programs that Debian has; `scripts/bench` is the way in."""
