-- As in sender_beat.
ALTER TABLE quarantine ADD INDEX batch_range batch TYPE minmax GRANULARITY 1
