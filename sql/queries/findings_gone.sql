-- Which open findings are no longer in the newest complete report of their scope?
-- days = 90
--
-- A report is complete for the scope that its sender names (header tocsin_attributes.scan.scope: a branch of a repository, an image, a
-- network). `tocsin run` with watch.topic notes what it no longer has as corrected. What names no scope may be a part: it closes nothing.
SELECT s.project AS project, toString(s.finding_key) AS finding_key, f.title AS finding, s.report.1 AS source, s.report.2 AS scope, greatest(r.reported, f.last_seen) AS reported
FROM
(
    SELECT toString(project) AS project, finding_key, argMax((toString(source), attributes['scan.scope']), ingest_time) AS report, max(ingest_time) AS seen
    FROM events
    WHERE finding_key != 0 AND NOT startsWith(event_type, 'finding.') AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY project, finding_key
) AS s
INNER JOIN
(
    SELECT toString(project) AS project, (toString(source), attributes['scan.scope']) AS report, max(ingest_time) AS reported
    FROM events
    WHERE (finding_key != 0 OR event_type IN ('scan.completed', 'component.added')) AND event_time >= now() - toIntervalDay({days:UInt16}) AND attributes['scan.scope'] != ''
    GROUP BY project, report
) AS r ON s.project = r.project AND s.report = r.report
INNER JOIN (SELECT toString(project) AS project, finding_key, title, last_seen FROM v_findings WHERE open) AS f ON f.project = s.project AND f.finding_key = s.finding_key
WHERE r.reported > s.seen
ORDER BY reported, project, finding_key
LIMIT 1000;
