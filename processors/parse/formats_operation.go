package parse

// operationFormats are what runs: hosts, networks, databases, control planes, metrics and monitoring.
var operationFormats = []Format{
	suricata,
	zeek,
	vpcFlow,
	netflow,
	accessLog,
	k8sAudit,
	cloudTrail,
	falco,
	auditd,
	dbAudit,
	sshd,
	syslog,
	prometheus,
	dbSizes,
	pandoraAgent,
	pandoraEvents,
}
