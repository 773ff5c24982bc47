"""The arithmetic behind the detectors: thresholds, survival, timeouts, retry storms. Pure: no
store, no clock."""
