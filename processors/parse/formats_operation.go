package parse

// operationFormats are what runs: hosts, networks, databases, control planes, metrics and monitoring.
var operationFormats = []Format{
	suricata,
	zeek,
	vpcFlow,
	netflow,
	accessLog,
	sshd,
	syslog,
	prometheus,
	dbSizes,
	pandoraAgent,
	pandoraEvents,
}
