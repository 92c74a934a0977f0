"""Suites: versioned trials and a protocol, one file per suite."""
