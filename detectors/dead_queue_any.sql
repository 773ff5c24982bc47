-- Whether anything is open at all: nearly free, where the other statements would be planned for nothing.
SELECT 1 AS found FROM open_attempt WHERE status IN ('scheduled', 'running') LIMIT 1
