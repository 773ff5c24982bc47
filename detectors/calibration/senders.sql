-- How long each sender is silent between two deliveries.
SELECT
    sender,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(gap_s) AS durations_s,
    groupArraySorted(3)(-gap_s) AS longest_negative,
    -- A look at an engine that found nothing new says nothing of how late its news are.
    if(countIf(is_told_live) = 0, 0, quantileExactIf(0.999)(lag_s, is_told_live)) AS lateness_s,
    min(received_at) AS first_at,
    max(received_at) AS last_at
FROM
(
    SELECT
        sender, received_at, lag_s,
        dateDiff('microsecond', lagInFrame(received_at, 1, received_at) OVER (PARTITION BY sender ORDER BY received_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), received_at) / 1e6 AS gap_s,
        gap_s - lag_s + lagInFrame(lag_s, 1, lag_s) OVER (PARTITION BY sender ORDER BY received_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS went_on_s,
        accepted > 0 AND (lag_s <= 60 OR abs(went_on_s) < 2 * gap_s) AS is_told_live
    FROM sender_beat
    WHERE NOT historical
        AND received_at > {from:DateTime64(6, 'UTC')}
        AND received_at <= {until:DateTime64(6, 'UTC')}
)
GROUP BY sender
