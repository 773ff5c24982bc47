-- How long each sender is silent between two deliveries.
SELECT
    sender,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(gap_s) AS durations_s,
    groupArraySorted(3)(-gap_s) AS longest_negative,
    -- A look at an engine that found nothing new says nothing of how late its news are.
    if(countIf(accepted > 0) = 0, 0, quantileExactIf(0.999)(lag_s, accepted > 0)) AS lateness_s,
    min(received_at) AS first_at,
    max(received_at) AS last_at
FROM
(
    SELECT
        sender, received_at, lag_s, accepted,
        dateDiff('microsecond', lagInFrame(received_at, 1, received_at) OVER (PARTITION BY sender ORDER BY received_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), received_at) / 1e6 AS gap_s
    FROM sender_beat
    WHERE NOT historical
        AND received_at > {from:DateTime64(6, 'UTC')}
        AND received_at <= {until:DateTime64(6, 'UTC')}
)
GROUP BY sender
