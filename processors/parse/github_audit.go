package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// githubAudit is a record of the audit log of an organization or enterprise, exported or streamed. Its actions are
// category.operation.
// https://docs.github.com/en/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/audit-log-events-for-your-organization
type githubAudit struct {
	Timestamp  Text    `json:"@timestamp"`
	DocumentID Text    `json:"_document_id"`
	CreatedAt  Text    `json:"created_at"`
	Action     Text    `json:"action"`
	Actor      Text    `json:"actor"`
	ActorIP    Text    `json:"actor_ip"`
	Org        Text    `json:"org"`
	Business   Text    `json:"business"`
	Repo       Text    `json:"repo"`
	Repository Text    `json:"repository"`
	User       Text    `json:"user"`
	Team       Text    `json:"team"`
	Name       Text    `json:"name"`
	Visibility Text    `json:"visibility"`
	Operation  Text    `json:"operation_type"`
	Agent      Text    `json:"user_agent"`
	TokenHash  Text    `json:"hashed_token"`
	TokenKind  Text    `json:"programmatic_access_type"`
	Country    Text    `json:"actor_location.country_code"`
	Permission Strings `json:"permission"`
}

// matchGitHubAudit tells a record of the audit log from a webhook, whose action has no category.
func matchGitHubAudit(s *Shape) bool {
	return strings.Contains(s.String("action"), ".") && s.Has("actor") && (s.Has("@timestamp") || s.Has("created_at")) &&
		(s.Has("_document_id") || s.Has("org") || s.Has("business"))
}

// githubAuditType converts an action.
func githubAuditType(action string) string {
	category, operation, _ := strings.Cut(action, ".")
	switch action {
	case "git.push":
		return "branch.push"
	case "repo.create", "repo.import":
		return "repository.created"
	case "repo.destroy":
		return "repository.deleted"
	case "user.login", "org.sso_response":
		return "auth.success"
	case "user.failed_login", "user.two_factor_recovery_codes_used":
		return "auth.failed"
	case "user.logout":
		return "auth.logout"
	case "pull_request.create":
		return "change.created"
	case "pull_request.merge":
		return "change.merged"
	case "pull_request.close":
		return "change.abandoned"
	case "pull_request.create_review_request":
		return "approval.created"
	case "secret_scanning_alert.create":
		return "secret.detected"
	case "repository_vulnerability_alert.create":
		return "vulnerability.found"
	}
	switch category {
	case "pull_request", "pull_request_review", "pull_request_review_comment":
		return "change.updated"
	case "repo", "protected_branch", "repository_ruleset", "repository_branch_protection_evaluation", "hook", "public_key", "deploy_key",
		"environment", "repository_secret_scanning", "repository_secret_scanning_push_protection", "repository_advisory",
		"dependabot_alerts", "dependabot_security_updates", "codespaces", "integration_installation", "actions", "packages":
		return "repository.modified"
	case "oauth_access", "oauth_authorization", "personal_access_token", "org_credential_authorization":
		if operation == "destroy" || operation == "revoke" || strings.HasSuffix(operation, "revoked") {
			return "credential.revoked"
		}
		return "user.modified"
	case "org", "team", "business", "user", "role", "enterprise", "external_identity", "external_group", "ip_allow_list",
		"ip_allow_list_entry", "members_can_create_pages", "organization_role":
		return "user.modified"
	}
	return "api.call"
}

func parseGitHubAudit(in *Input, out *Out) error {
	var v githubAudit
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	action := string(v.Action)
	e := out.Event(githubAuditType(action))
	e.Severity, e.Actor, e.SrcIP = pipeline.SeverityInfo, string(v.Actor), addrOf(string(v.ActorIP))
	e.Time = parseTime(string(first(v.Timestamp, v.CreatedAt)))
	if repo := string(first(v.Repo, v.Repository)); repo != "" {
		e.Repo = repoOf("github.com/" + repo)
	}
	settleFinding(e)
	switch e.Type {
	case "auth.failed":
		e.Outcome, e.Severity, e.Phase = pipeline.OutcomeFailure, pipeline.SeverityLow, pipeline.PhaseOperation
	case "auth.success", "auth.logout":
		e.Outcome, e.Phase = pipeline.OutcomeSuccess, pipeline.PhaseOperation
	case "secret.detected", "vulnerability.found":
		e.Severity = pipeline.SeverityHigh
	}
	e.SetAttr("action", action)
	e.SetAttr("organization", string(v.Org))
	e.SetAttr("enterprise", string(v.Business))
	e.SetAttr("object", string(first(v.User, v.Team, v.Name)))
	e.SetAttr("visibility", string(v.Visibility))
	e.SetAttr("operation", string(v.Operation))
	e.SetAttr("permission", strings.Join(v.Permission, ","))
	e.SetAttr("user_agent.original", string(v.Agent))
	e.SetAttr("credential.id", string(v.TokenHash))
	e.SetAttr("credential.kind", string(v.TokenKind))
	e.SetAttr("client.geo.country_iso_code", string(v.Country))
	e.Title = strings.Join(strings.Fields("GitHub: "+action+" "+string(first(v.Repo, v.Org))+" "+string(first(v.User, v.Team))+" by "+e.Actor), " ")
	if v.DocumentID != "" {
		out.ID(e, "audit", string(v.DocumentID))
	}
	return nil
}
