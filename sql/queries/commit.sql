-- Everything about a commit, over all phases.
-- commit = 4b825dc642cb6eb9a060e54bf8d69288fbee4904
SELECT event_time, phase, source, event_type, outcome, actor, environment, title
FROM v_events
WHERE commit_sha = {commit:String}
    OR (artifact_digest != '' AND artifact_digest IN (SELECT other_id FROM entity_links WHERE kind = 'commit' AND id = {commit:String} AND other_kind = 'artifact'))
    OR (run_id != '' AND run_id IN (SELECT other_id FROM entity_links WHERE kind = 'commit' AND id = {commit:String} AND other_kind = 'run'))
ORDER BY event_time
LIMIT 1000;
