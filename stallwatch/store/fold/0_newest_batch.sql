SELECT greatest((SELECT max(batch) FROM touched_execution), (SELECT max(batch) FROM span_landing), (SELECT max(value) FROM progress WHERE name = 'folded_batch')) AS batch
