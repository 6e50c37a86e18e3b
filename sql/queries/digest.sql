-- Everything about an artifact's digest, over all phases.
-- digest = sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
SELECT event_time, phase, source, event_type, outcome, actor, environment, artifact, title
FROM v_events
WHERE artifact_digest = {digest:String}
ORDER BY event_time
LIMIT 1000;
