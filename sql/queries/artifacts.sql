-- What was packaged, with which digest, how large is it, and of how many components does it consist?
-- days = 30
SELECT artifact, artifact_digest AS digest, max(event_time) AS packaged, argMax(actor, event_time) AS by,
    argMax(attributes['artifact.files'], event_time) AS files, argMax(attributes['artifact.size'], event_time) AS bytes, argMax(attributes['sbom.ref'], event_time) AS sbom, any(c.components) AS components
FROM v_events AS e
LEFT JOIN
(
    SELECT artifact_digest, uniqExact(if(purl != '', purl, title)) AS components FROM v_events WHERE event_type = 'component.added' AND artifact_digest != '' GROUP BY artifact_digest
) AS c USING (artifact_digest)
WHERE e.event_type = 'artifact.packaged' AND e.event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY artifact, digest
ORDER BY packaged DESC
LIMIT 200;
