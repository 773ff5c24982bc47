"""Detectors: what is wrong with which workflow, judged from the store tick by tick."""
