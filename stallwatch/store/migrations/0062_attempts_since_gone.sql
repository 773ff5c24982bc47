-- Detectors write these two out now.
DROP VIEW IF EXISTS attempts_since
