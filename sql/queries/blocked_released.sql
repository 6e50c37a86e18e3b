-- Which blocked elements are in a release?
-- days = 90
SELECT b.purl AS component, b.blocked AS blocked, e.artifact_digest AS digest, e.event_time AS released, e.title AS title
FROM v_events AS e
INNER JOIN (SELECT purl, min(event_time) AS blocked FROM v_events WHERE event_type = 'finding.blocked' AND purl != '' GROUP BY purl) AS b ON e.purl = b.purl
WHERE e.event_type = 'component.added' AND e.event_time >= b.blocked AND e.artifact_digest IN (SELECT artifact_digest FROM v_events WHERE event_type = 'artifact.published') AND e.event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY released;
