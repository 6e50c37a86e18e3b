package parse

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// azureLogs reads what Azure Monitor writes to an event hub or a storage account: the activity log, resource logs that name a
// caller, and the sign-in and audit logs of Entra ID; and the activity log as its REST interface gives it.
// https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
// https://learn.microsoft.com/entra/identity/monitoring-health/reference-azure-monitor-sign-ins-log-schema
var azureLogs = Format{
	Name: "azure-logs", Title: "Azure activity log, Entra ID sign-in and audit logs (JSON)", Phase: pipeline.PhaseOperation,
	Types: []string{"api.call", "auth.success", "auth.failed", "user.modified", "log.cleared", "detection", "alert.firing", "alert.resolved", "log"},
	Known: "JSON with operationName, correlationId and resourceId, tenantId or eventTimestamp, alone, in records or in value",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		if s.Has("operationName", "correlationId") {
			return s.Has("resourceId") || s.Has("tenantId") || s.Has("eventTimestamp")
		}
		for _, b := range [...][]byte{firstMember(s.Raw("records")), firstMember(s.Raw("value"))} {
			if member(b, "operationName") != nil && member(b, "correlationId") != nil &&
				(member(b, "resourceId") != nil || member(b, "tenantId") != nil || member(b, "eventTimestamp") != nil) {
				return true
			}
		}
		return false
	},
	Parse: func(in *Input, out *Out) error {
		b := in.Data
		if b[0] == '{' {
			var list struct {
				Records json.RawMessage `json:"records"`
				Value   json.RawMessage `json:"value"`
			}
			if err := decode(b, &list); err != nil {
				return err
			}
			for _, inner := range [...]json.RawMessage{list.Records, list.Value} {
				if len(inner) > 0 && inner[0] == '[' {
					b = inner
				}
			}
		}
		if b[0] == '[' {
			return eachElement(in, out, b, func(b []byte) error { return azureLog(b, out) })
		}
		return azureLog(b, out)
	},
}

// azureWord is a word, which the REST interface writes as an object with a value.
type azureWord string

// UnmarshalJSON implements json.Unmarshaler.
func (w *azureWord) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		b = member(b, "value")
	}
	*w = azureWord(textOf(b))
	return nil
}

// azureIdentity is a display name in the logs of Entra ID, and the claims of a token elsewhere.
type azureIdentity struct {
	Name   string
	Claims struct {
		UPN   Text `json:"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"`
		Name  Text `json:"name"`
		AppID Text `json:"appid"`
		IP    Text `json:"ipaddr"`
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *azureIdentity) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		i.Name = textOf(b)
		return nil
	}
	claims := member(b, "claims")
	if claims == nil {
		claims = member(b, "claim") // Key Vault
	}
	if len(claims) == 0 || claims[0] != '{' {
		return nil
	}
	return decode(claims, &i.Claims)
}

// azureProperties are of the category's own form; what there is no name for here is passed over.
type azureProperties struct {
	ID        Text `json:"id"`
	User      Text `json:"userPrincipalName"`
	Principal Text `json:"servicePrincipalName"`
	IP        Text `json:"ipAddress"`
	App       Text `json:"appDisplayName"`
	Severity  Text `json:"severity"`
	Activity  Text `json:"activityDisplayName"`
	Category  Text `json:"category"`
	Result    Text `json:"result"`
	Reason    Text `json:"resultReason"`
	Status    struct {
		Code   Text `json:"errorCode"`
		Reason Text `json:"failureReason"`
	}
	By struct {
		User struct {
			Name Text `json:"userPrincipalName"`
			IP   Text `json:"ipAddress"`
		}
		App struct {
			Name Text `json:"displayName"`
		}
	} `json:"initiatedBy"`
	Targets []struct {
		Name Text `json:"displayName"`
		User Text `json:"userPrincipalName"`
	} `json:"targetResources"`
}

// UnmarshalJSON implements json.Unmarshaler. Properties that are text, or of another form, say nothing here.
func (p *azureProperties) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type object azureProperties
	if decodeFold(b, (*object)(p)) != nil {
		*p = azureProperties{}
	}
	return nil
}

type azureRecord struct {
	Time       Text          `json:"time"`
	Stamp      Text          `json:"eventTimestamp"`
	EventID    Text          `json:"eventDataId"`
	Operation  azureWord     `json:"operationName"`
	Category   azureWord     `json:"category"`
	Resource   Text          `json:"resourceId"`
	ResultType Text          `json:"resultType"`
	Signature  Text          `json:"resultSignature"`
	ResultText Text          `json:"resultDescription"`
	Status     azureWord     `json:"status"`
	Substatus  azureWord     `json:"subStatus"`
	Caller     Text          `json:"caller"`
	CallerIP   Text          `json:"callerIpAddress"`
	Identity   azureIdentity `json:"identity"`
	Level      Text          `json:"level"`
	Location   Text          `json:"location"`
	Tenant     Text          `json:"tenantId"`
	Cause      Text          `json:"correlationId"`
	HTTP       struct {
		IP Text `json:"clientIpAddress"`
	} `json:"httpRequest"`
	Properties azureProperties `json:"properties"`
}

func azureLog(b []byte, out *Out) error {
	var v azureRecord
	if err := decodeFold(b, &v); err != nil {
		return err
	}
	if v.Operation == "" {
		return errors.New("azure-logs: record without operationName")
	}
	p, claims := &v.Properties, &v.Identity.Claims
	result := string(first(v.ResultType, Text(v.Status), p.Result))
	typ, outcome := v.happened(result)
	e := out.Event(typ)
	e.Raw, e.Severity, e.Outcome = alias(b), pipeline.SeverityInfo, outcome
	if t := parseTime(string(first(v.Time, v.Stamp))); !t.IsZero() {
		e.Time = t
	}
	e.Actor = first(string(v.Caller), string(p.User), string(p.By.User.Name), string(claims.UPN), string(claims.Name),
		string(p.Principal), string(p.By.App.Name), v.Identity.Name, string(claims.AppID))
	e.SrcIP = addrOf(string(first(v.CallerIP, v.HTTP.IP, p.IP, p.By.User.IP, claims.IP)))
	e.Service = strings.ToLower(string(p.App))
	if provider, _, ok := strings.Cut(string(v.Operation), "/"); ok {
		e.Service = out.lower(provider)
	}
	why := first(string(p.Status.Reason), string(p.Reason), string(v.ResultText), string(v.Signature), string(v.Substatus))
	switch {
	case typ == "detection" || typ == "alert.firing":
		e.Severity = max(severityWord(string(first(p.Severity, v.Level))), pipeline.SeverityMedium)
	case outcome == pipeline.OutcomeFailure:
		e.Severity = pipeline.SeverityLow
		if strings.Contains(why, "Forbidden") || strings.Contains(why, "Unauthorized") || strings.Contains(why, "AuthorizationFailed") {
			e.Disposition = pipeline.DispositionUnauthorized
		}
	case typ == "log.cleared":
		e.Severity = pipeline.SeverityHigh
	case typ == "user.modified":
		e.Severity = pipeline.SeverityMedium
	}
	e.Title = string(first(p.Activity, Text(v.Operation)))
	if e.Actor != "" {
		e.Title += " by " + e.Actor
	}
	if outcome == pipeline.OutcomeFailure {
		e.Title += ": " + first(oneLine(why, 120), result)
	}
	e.SetAttr("cloud.provider", "azure")
	e.SetAttr("cloud.account.id", azureSubscription(string(v.Resource)))
	e.SetAttr("cloud.region", string(v.Location))
	e.SetAttr("azure.operation", string(v.Operation))
	e.SetAttr("azure.category", string(v.Category))
	e.SetAttr("azure.resource_id", string(v.Resource))
	e.SetAttr("azure.tenant_id", string(v.Tenant))
	e.SetAttr("azure.correlation_id", string(v.Cause))
	e.SetAttr("azure.result", result)
	if len(p.Targets) > 0 {
		e.SetAttr("azure.target", string(first(p.Targets[0].User, p.Targets[0].Name)))
	}
	e.SetAttr("error.message", ifKind(outcome == pipeline.OutcomeFailure, why))
	if id := string(first(v.EventID, p.ID)); id != "" {
		out.ID(e, id, string(v.Operation), result)
	}
	return nil
}

// happened tells the type of a record and how it ended. An operation that runs has records for its start and its end.
func (v *azureRecord) happened(result string) (typ, outcome string) {
	switch strings.ToLower(result) {
	case "success", "succeeded", "0":
		outcome = pipeline.OutcomeSuccess
	case "failure", "failed":
		outcome = pipeline.OutcomeFailure
	default:
		outcome = pipeline.OutcomeUnknown
	}
	operation := strings.ToLower(string(v.Operation))
	switch v.Category {
	case "SignInLogs", "NonInteractiveUserSignInLogs", "ServicePrincipalSignInLogs", "ManagedIdentitySignInLogs":
		switch code := string(first(v.Properties.Status.Code, v.ResultType)); {
		case code == "0":
			return "auth.success", pipeline.OutcomeSuccess
		case signInGoesOn(code):
			return "log", pipeline.OutcomeUnknown
		}
		return "auth.failed", pipeline.OutcomeFailure
	case "AuditLogs":
		switch v.Properties.Category {
		case "UserManagement", "GroupManagement", "RoleManagement", "ApplicationManagement":
			return "user.modified", outcome
		}
	case "Security":
		return "detection", outcome
	case "Alert":
		if result == "Resolved" {
			return "alert.resolved", outcome
		}
		return "alert.firing", outcome
	case "ServiceHealth", "ResourceHealth", "Autoscale", "Recommendation":
		return "log", outcome
	}
	switch {
	case strings.HasPrefix(operation, "microsoft.authorization/roleassignments/"), strings.HasPrefix(operation, "microsoft.authorization/roledefinitions/"):
		return "user.modified", outcome
	case operation == "microsoft.insights/diagnosticsettings/delete", operation == "microsoft.operationalinsights/workspaces/delete":
		return "log.cleared", outcome
	}
	return "api.call", outcome
}

// signInGoesOn knows the codes with which a sign-in is interrupted to ask for more: a second factor, consent, a choice of account.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func signInGoesOn(code string) bool {
	switch code {
	case "16000", "50058", "50072", "50074", "50076", "50079", "50125", "50129", "50140", "50143", "50144", "50158", "50203", "65001":
		return true
	}
	return false
}

// azureSubscription returns the subscription that a resource's id begins with.
func azureSubscription(id string) string {
	parts := strings.Split(strings.ToLower(id), "/")
	if len(parts) > 2 && parts[1] == "subscriptions" {
		return parts[2]
	}
	return ""
}
