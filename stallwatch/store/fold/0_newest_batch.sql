SELECT greatest((SELECT max(batch) FROM touched_execution), (SELECT max(batch) FROM touched_trace), (SELECT max(batch) FROM claimed_span)) AS batch
