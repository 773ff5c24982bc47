-- Which batch a row tells of, so that a batch that is sorted again after a crash is not counted again; and how many spans lost
-- attributes to a limit.
ALTER TABLE sender_beat
    ADD COLUMN batch UInt64,
    ADD COLUMN limited UInt64,
    ADD INDEX batch_range batch TYPE minmax GRANULARITY 1
