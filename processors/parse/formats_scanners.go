package parse

// scannerFormats are reports of scanners and inventories: findings and components.
var scannerFormats = []Format{
	gitleaks,
	bundlerAudit,
	dockerBench,
	sarif,
	gosec,
	bandit,
	semgrep,
	govulncheck,
	npmAudit,
	pipAudit,
	osvScanner,
	gitlabReport,
	dependabot,
	grype,
	trivy,
}
