-- What did the probes of an artifact measure? With --json it is a file to keep beside the artifact.
-- digest = sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
SELECT artifact_digest, event_time, source, host, if(dst_domain != '', dst_domain, attributes['server.address']) AS target, metric_name AS metric, metric_value AS value, outcome
FROM v_events
WHERE event_type = 'netprobe.finished' AND artifact_digest = {digest:String}
ORDER BY event_time, target, metric;
