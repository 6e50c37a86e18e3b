-- Everything about a commit, over all phases.
-- commit = 4b825dc642cb6eb9a060e54bf8d69288fbee4904
--
-- Its own events, those of what was made of it, and those of its runs, which are over within a day. Each has an index of its own, and OR
-- would use none.
WITH
    digests AS (SELECT other_id FROM entity_links WHERE kind = 'commit' AND id = {commit:String} AND other_kind = 'artifact' AND other_id != ''),
    runs AS (SELECT other_id FROM entity_links WHERE kind = 'commit' AND id = {commit:String} AND other_kind = 'run' AND other_id != ''),
    (SELECT (min(first_seen) - toIntervalDay(1), max(last_seen) + toIntervalDay(1)) FROM entity_links WHERE kind = 'commit' AND id = {commit:String} AND other_kind = 'run') AS ran
SELECT event_time, phase, source, event_type, outcome, actor, environment, title
FROM
(
    SELECT event_time, phase, source, event_type, outcome, actor, environment, title FROM v_events WHERE commit_sha = {commit:String}
    UNION ALL
    SELECT event_time, phase, source, event_type, outcome, actor, environment, title FROM v_events
    WHERE commit_sha != {commit:String} AND artifact_digest IN digests
    UNION ALL
    SELECT event_time, phase, source, event_type, outcome, actor, environment, title FROM v_events
    WHERE commit_sha != {commit:String} AND artifact_digest NOT IN digests AND run_id IN runs AND event_time BETWEEN ran.1 AND ran.2
)
ORDER BY event_time
LIMIT 1000;
