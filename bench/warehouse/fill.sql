-- %[1]d events of day %[2]d before today, in the shares of a busy shop. The same number gives the same event but for its time.
INSERT INTO events (event_id, event_time, ingest_time, phase, team, source, event_type, class_uid, severity_id, outcome, disposition_id, title, project,
    environment, service, repo, commit_sha, change_id, run_id, task, artifact, artifact_digest, purl, rule_id, vuln_ids, finding_key, actor, host, src_ip, dst_ip,
    dst_domain, net_scope, bytes, db_name, db_object, metric_name, metric_value, attack_ids, attributes, raw, kafka_topic, kafka_partition, kafka_offset)
WITH
    number + %[2]d * 1000000007 AS n,
    cityHash64(n) AS h,
    cityHash64(n, 1) AS g,
    h %% 1000 AS share,
    toUInt8(multiIf(share < 300, 0, share < 550, 1, share < 640, 2, share < 700, 3, share < 830, 4, share < 900, 5, share < 930, 6, share < 960, 7,
        share < 970, 8, share < 978, 9, share < 981, 10, share < 983, 11, share < 985, 12, share < 987, 13, share < 989, 14, share < 992, 15, share < 994, 16, share < 995, 17, 18)) AS kind,
    kind IN (6, 7, 9, 10, 11, 12, 13, 14) AS built, -- belongs to a commit and its run
    pow(g %% 1000000 / 1000000, 3) AS skew, -- few are seen often, many now and then
    intDiv(n, 400) %% 200000 AS change,
    lower(hex(SHA1(toString(change)))) AS sha,
    concat('sha256:', lower(hex(SHA256(toString(intDiv(change, 10)))))) AS digest,
    toUInt32(skew * 60000) AS ip
SELECT
    toUUID(concat(substring(hex(MD5(toString(n))) AS md, 1, 8), '-', substring(md, 9, 4), '-5', substring(md, 14, 3), '-8', substring(md, 18, 3), '-', substring(md, 21, 12))),
    toDateTime64(today() - %[2]d, 3, 'UTC') + toIntervalMillisecond(intDiv(number * 86400000, %[1]d)) AS t,
    t + toIntervalMillisecond(100 + g %% 900),
    ['operation', 'operation', 'operation', 'operation', 'operation', 'operation', 'testing', 'testing', 'monitoring', 'writing', 'writing', 'writing', 'packaging', 'release', 'deployment', 'packaging', 'packaging', 'writing', 'monitoring'][kind + 1],
    ['ops', 'ops', 'sec', 'ops', 'ops', 'sec', 'dev', 'dev', 'mon', 'dev', 'dev', 'dev', 'dev', 'dev', 'ops', 'sec', 'dev', 'sec', 'mon'][kind + 1],
    ['suricata-eve', 'access-log', 'sshd-auth', 'sshd-auth', 'k8s-audit', 'falco', 'junit-xml', 'jenkins-notification', 'influx-line', 'github', 'github', 'github', 'jenkins-notification', 'harbor', 'argocd', 'trivy', 'cyclonedx', 'gitleaks', 'pandora-agent-xml'][kind + 1],
    ['net.flow', 'http.request', 'auth.failed', 'auth.success', 'api.call', 'detection', 'testcaserun.finished', 'taskrun.finished', 'db.size', 'branch.push', 'approval.closed', 'change.merged', 'artifact.packaged', 'artifact.published', 'service.deployed', 'vulnerability.found', 'component.added', 'secret.detected', 'heartbeat'][kind + 1],
    [4001, 4002, 3002, 3002, 6003, 2004, 0, 0, 0, 0, 0, 0, 6002, 6002, 6002, 2002, 5020, 2007, 0][kind + 1],
    multiIf(kind IN (5, 15, 17), 2 + g %% 4, 1),
    multiIf(kind = 2, 'failure', g %% 29 = 0, 'failure', 'success'),
    if(kind = 10, [8, 8, 8, 25][1 + g %% 4], 0),
    multiIf(kind = 0, '', kind = 1, concat('GET /api/v1/orders/', toString(g %% 100000)), concat('something of kind ', toString(kind), ' by user', toString(g %% 1000))),
    ['payments', 'web', 'infra', 'mobile', 'search', 'billing', 'data', 'core'][1 + toUInt8(skew * 8)],
    ['production', 'production', 'staging', 'test'][1 + h %% 4],
    if(kind IN (1, 14), concat('svc-', toString(g %% 60)), ''),
    if(built, concat('git.example/acme/r', toString(change %% 120)), ''), if(built, sha, ''), if(kind IN (9, 10, 11), concat('git.example/acme/r', toString(change %% 120), '!', toString(change)), ''),
    if(built, concat('jenkins/b/', toString(change)), ''), if(kind IN (6, 7), concat('case ', toString(g %% 3000)), ''),
    if(kind IN (12, 13, 14), concat('image-', toString(change %% 60)), ''), if(kind IN (12, 13, 14, 15, 16), digest, ''),
    if(kind IN (15, 16), concat('pkg:npm/lib', toString(g %% 4000), '@1.', toString(g %% 7)), ''),
    if(kind IN (5, 17), concat('rule-', toString(g %% 80)), ''), if(kind = 15, [concat('CVE-2026-', toString(1000 + g %% 3000))], []), if(kind IN (15, 17), 1 + g %% 50000, 0),
    if(kind IN (2, 3, 4, 5, 9, 10, 11), concat('user', toString(toUInt32(skew * 2000))), ''), if(kind IN (0, 1, 2, 3, 5, 8, 18), concat('host-', toString(g %% 500), '.example'), ''),
    if(kind IN (0, 1, 2, 3, 4), toIPv6(concat('::ffff:198.', toString(18 + intDiv(ip, 65536)), '.', toString(intDiv(ip, 256) %% 256), '.', toString(ip %% 256))), toIPv6('::')),
    if(kind IN (0, 1), toIPv6(concat('::ffff:10.0.', toString(g %% 4), '.', toString(g %% 250))), toIPv6('::')),
    if(kind = 0 AND g %% 3 = 0, concat('d', toString(toUInt32(skew * 3000)), '.example'), ''), if(kind = 0, ['private', 'ingress', 'egress'][1 + g %% 3], 'none'), if(kind IN (0, 1), g %% 400000, 0),
    if(kind = 8, concat('db', toString(g %% 20)), ''), if(kind = 8, concat('public.t', toString(g %% 50)), ''), multiIf(kind = 8, 'db.size_bytes', kind = 6, 'duration_seconds', ''), if(kind IN (6, 8), g %% 1000000, 0),
    if(kind = 5, ['T1555'], []), if(kind IN (0, 1), map('network.protocol.name', 'tls', 'http.response.status_code', toString([200, 304, 404, 502][1 + g %% 4])), map()),
    '', 'raw.bench', toInt32(h %% 12), toInt64(n)
FROM numbers(%[1]d)
SETTINGS max_partitions_per_insert_block = 100, max_block_size = 262144, min_insert_block_size_rows = 262144, optimize_on_insert = 0, max_insert_threads = %[3]d
