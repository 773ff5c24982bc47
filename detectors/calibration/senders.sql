-- How long each sender is silent between two deliveries. While nobody listened (`away`), nobody knows.
WITH (SELECT groupArray((began_at, ended_at)) FROM away_log WHERE ended_at > {from:DateTime64(6, 'UTC')}) AS away
SELECT
    sender,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(gap_s) AS durations_s,
    groupArraySorted(3)(-gap_s) AS longest_negative,
    -- A look at an engine that found nothing new says nothing of how late its news are.
    if(countIf(is_told_live) = 0, 0, quantileExactIf(0.999)(lag_s, is_told_live)) AS lateness_s,
    if(countIf(is_told_live) = 0, 0, quantileExactIf(0.9)(lag_s, is_told_live)) AS usual_lag_s,
    min(received_at) AS first_at,
    max(received_at) AS last_at
FROM
(
    SELECT
        sender, received_at, lag_s,
        lagInFrame(received_at, 1, received_at) OVER (PARTITION BY sender ORDER BY received_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before_at,
        if(arrayExists(one -> one.1 < received_at AND one.2 > before_at, away), 0, dateDiff('microsecond', before_at, received_at) / 1e6) AS gap_s,
        gap_s - lag_s + lagInFrame(lag_s, 1, lag_s) OVER (PARTITION BY sender ORDER BY received_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS went_on_s,
        accepted > 0 AND (lag_s <= 60 OR abs(went_on_s) < 2 * gap_s) AS is_told_live
    FROM sender_beat
    WHERE NOT historical
        AND received_at > {from:DateTime64(6, 'UTC')}
        AND received_at <= {until:DateTime64(6, 'UTC')}
)
GROUP BY sender
