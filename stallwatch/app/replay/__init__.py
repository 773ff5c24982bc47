"""`stallwatch replay`: detectors over stored history, and a scorecard of what they called."""
