-- Which version of a corrected component has the latest release?
-- days = 90
--
-- It should be the corrected one, or a newer one: `tocsin run` compares them as the package's kind orders versions. Where it is
-- there the finding is verified, and is here no more; where it is not rule C03b says so.
SELECT f.project AS project, toString(f.finding_key) AS finding_key, f.title AS finding, f.fixed_version AS fixed_version,
    argMax(e.purl, e.event_time) AS component, argMax(e.artifact_digest, e.event_time) AS digest, max(e.event_time) AS released
FROM
(
    SELECT project, purl, artifact_digest, event_time, replaceRegexpOne(purl, '[@?#].*', '') AS package
    FROM v_events
    WHERE event_type = 'component.added' AND phase IN ('packaging', 'release') AND purl != '' AND event_time >= now() - toIntervalDay({days:UInt16})
) AS e
INNER JOIN
(
    SELECT project, finding_key, title, fixed_version, corrected_at, replaceRegexpOne(purl, '[@?#].*', '') AS package
    FROM v_findings
    WHERE state = 'fixed' AND fixed_version != '' AND purl != ''
) AS f ON e.project = f.project AND e.package = f.package
WHERE e.event_time >= f.corrected_at
GROUP BY project, finding_key, finding, fixed_version
ORDER BY released, project, finding_key
LIMIT 1000;
