-- Keys are hashes, so every part may hold any execution. The batches in it tell which parts are too old.
ALTER TABLE step_event_log ADD INDEX batch_range batch TYPE minmax GRANULARITY 1
