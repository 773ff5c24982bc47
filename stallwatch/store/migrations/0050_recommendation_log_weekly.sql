-- The upper limit by the week's own window: what is recommended is smoothed over the weeks.
ALTER TABLE recommendation_log ADD COLUMN weekly_upper_s Nullable(Float64)
