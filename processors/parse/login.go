package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// login is what a sensor saw of a login on the wire.
type login uint8

const (
	notLogin login = iota // or a step of one that does not decide it
	loginGranted
	loginRefused
)

func granted(yes bool) login {
	if yes {
		return loginGranted
	}
	return loginRefused
}

// fill makes the event one of a login by the method, unless it is none.
func (l login) fill(e *pipeline.Event, method string) {
	switch l {
	case notLogin:
		return
	case loginGranted:
		e.Type, e.Outcome = "auth.success", pipeline.OutcomeSuccess
	case loginRefused:
		e.Type, e.Outcome, e.Severity = "auth.failed", pipeline.OutcomeFailure, pipeline.SeverityLow
	}
	e.Class = kinds[e.Type].class
	e.SetAttr("auth.method", method)
}

// kerberosError tells what an error of Kerberos says of the login: to be asked for pre-authentication is the first step of
// an ordinary one.
// https://www.rfc-editor.org/rfc/rfc4120#section-7.5.9
func kerberosError(code string) login {
	if strings.HasSuffix(code, "PREAUTH_REQUIRED") {
		return notLogin
	}
	return loginRefused
}

// ldapResult tells what the result of a bind says of the login.
// https://www.rfc-editor.org/rfc/rfc4511#section-4.1.9
func ldapResult(result string) login {
	switch strings.ReplaceAll(strings.ToLower(result), "_", " ") {
	case "", "sasl bind in progress", "saslbindinprogress":
		return notLogin
	case "success":
		return loginGranted
	}
	return loginRefused
}
