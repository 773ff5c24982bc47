SELECT greatest((SELECT max(batch) FROM touched_execution), (SELECT max(batch) FROM touched_trace)) AS batch
