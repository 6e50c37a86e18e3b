-- How do answers to users compare before and after each deployment?
-- service = pay-api
-- minutes = 10
--
-- Requests within so many minutes after a deployment are its digest's; those before it are those of the digest before. p95_ms
-- is the 95th percentile of their durations, errors the percentage of answers from 500 on.
SELECT d.environment AS environment, d.service AS service, d.digest AS digest, count() AS requests, round(quantileExact(0.95)(r.ms)) AS p95_ms, round(100 * countIf(r.status >= 500) / requests, 2) AS errors
FROM
(
    SELECT environment, service, event_time AS at, artifact_digest AS digest,
        leadInFrame(event_time, 1, toDateTime64('2299-12-31', 3, 'UTC')) OVER (PARTITION BY environment, service ORDER BY event_time ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM v_events
    WHERE event_type IN ('service.deployed', 'service.upgraded', 'service.rolledback') AND service = {service:String}
) AS d
INNER JOIN
(
    SELECT service, environment, event_time AS at, toUInt16OrZero(attributes['http.response.status_code']) AS status,
        if(attributes['http.duration_ms'] != '', toFloat64OrZero(attributes['http.duration_ms']), 1000 * toFloat64OrZero(attributes['http.duration_seconds'])) AS ms
    FROM v_events
    WHERE event_type = 'http.request' AND service = {service:String}
) AS r ON r.service = d.service
WHERE r.environment IN ('', d.environment) AND r.at >= d.at AND r.at < d.next
    AND (r.at < d.at + toIntervalMinute({minutes:UInt16}) OR r.at >= d.next - toIntervalMinute({minutes:UInt16}))
GROUP BY environment, service, digest
ORDER BY environment, min(d.at);
