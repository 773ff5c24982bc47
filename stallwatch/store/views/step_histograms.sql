CREATE VIEW step_histograms AS
SELECT
    window_s, window_start, namespace, engine, workflow, workflow_version, step, queue, completed, failed, timed_out, cancelled, retried,
    completed_bins, failed_bins, censored_bins
FROM step_histogram FINAL
