-- Which services use more of something than they declared?
-- days = 30
--
-- service.declared says it in attributes declared.<metric>, as 2, 500m, 512Mi or 1.5G; the newest one counts. What is used
-- is the highest value of the service's metric of that name.
SELECT d.project AS project, d.service AS service, d.metric AS metric, d.declared AS declared, u.used AS used, round(u.used / d.amount, 2) AS share, u.used > d.amount AS over
FROM
(
    SELECT project, service, metric, argMax(value, event_time) AS declared,
        toFloat64OrZero(extract(declared, '^[0-9.]+')) AS number,
        number * multiIf(endsWith(declared, 'm'), 0.001, endsWith(declared, 'Ki'), 1024, endsWith(declared, 'Mi'), 1048576, endsWith(declared, 'Gi'), 1073741824, endsWith(declared, 'Ti'), 1099511627776,
            endsWith(declared, 'k'), 1e3, endsWith(declared, 'M'), 1e6, endsWith(declared, 'G'), 1e9, endsWith(declared, 'T'), 1e12, 1) AS amount
    FROM
    (
        SELECT project, service, event_time, substring(pair.1, length('declared.') + 1) AS metric, pair.2 AS value
        FROM v_events
        ARRAY JOIN CAST(attributes, 'Array(Tuple(String, String))') AS pair
        WHERE event_type = 'service.declared' AND startsWith(pair.1, 'declared.')
    )
    GROUP BY project, service, metric
    HAVING amount > 0
) AS d
INNER JOIN
(
    SELECT project, service, metric_name AS metric, max(metric_value) AS used
    FROM v_events
    WHERE event_type = 'metric' AND service != '' AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY project, service, metric
) AS u USING (project, service, metric)
ORDER BY share DESC, project, service, metric;
