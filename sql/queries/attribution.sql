-- What of a campaign was stored, alert by alert: which were raised by events of its, and what no alert speaks of?
-- campaign = ''
--
-- A campaign may be declared when it is over: campaign.declared names its addresses, accounts and time. Empty is all campaigns.
SELECT campaign, rule, teams, first, events, techniques, by
FROM
(
    SELECT t.campaign AS campaign, if(a.rule = '', '(no alert)', a.rule) AS rule, arraySort(groupUniqArrayIf(a.team, a.rule != '')) AS teams,
        min(t.event_time) AS first, uniqExact(t.event_id) AS events, arraySort(groupUniqArrayArray(t.attack_ids)) AS techniques,
        arraySort(groupUniqArray(t.by)) AS by
    FROM v_attributed AS t
    LEFT JOIN
    (
        SELECT toString(rule_id) AS rule, toString(team) AS team, event
        FROM v_alerts
        ARRAY JOIN event_ids AS event
    ) AS a ON a.event = t.event_id
    WHERE {campaign:String} IN ('', t.campaign) AND NOT startsWith(t.event_type, 'campaign.')
    GROUP BY campaign, rule
)
ORDER BY campaign, rule = '(no alert)', first, rule;
