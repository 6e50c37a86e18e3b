-- Which published artifacts have no signature?
-- days = 30
SELECT artifact_digest, any(artifact) AS artifact, minIf(event_time, event_type = 'artifact.published') AS published, anyIf(actor, event_type = 'artifact.published') AS published_by
FROM v_events
WHERE event_type IN ('artifact.published', 'artifact.signed') AND artifact_digest != '' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY artifact_digest
HAVING countIf(event_type = 'artifact.published') > 0 AND countIf(event_type = 'artifact.signed') = 0
ORDER BY published DESC;
