package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// suricataApp is what the records of protocols that people log in by hold; each of them is in the member of its name, and
// no other record pays for them.
// https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
type suricataApp struct {
	// krb5
	Message    string `json:"msg_type"`
	ErrorCode  string `json:"error_code"`
	Client     string `json:"cname"`
	Realm      string `json:"realm"`
	Service    string `json:"sname"`
	Encryption string `json:"encryption"`
	// ftp, ftp_data, pop3
	Command  Text    `json:"command"`
	Data     Text    `json:"command_data"`
	Codes    Strings `json:"completion_code"`
	Replies  Strings `json:"reply"`
	Filename string  `json:"filename"`
	// rdp, smtp, dhcp, rfb
	Cookie   string  `json:"cookie"`
	From     string  `json:"mail_from"`
	To       Strings `json:"rcpt_to"`
	DHCPType string  `json:"dhcp_type"`
	Assigned string  `json:"assigned_ip"`
	Hostname string  `json:"hostname"`
	MAC      string  `json:"client_mac"`
	RFB      struct {
		Result string `json:"security_result"`
	} `json:"authentication"`
	// ldap, pgsql
	Request struct {
		Operation string `json:"operation"`
		Bind      struct {
			Name string `json:"name"`
		} `json:"bind_request"`
		Query   string `json:"simple_query"`
		Startup struct {
			User string `json:"user"`
		} `json:"startup_parameters"`
		Password string `json:"password"`
	} `json:"request"`
	Responses []struct {
		Bind struct {
			Result  string `json:"result_code"`
			Message string `json:"message"`
		} `json:"bind_response"`
	} `json:"responses"`
	Response struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Done    string `json:"command_completed"`
	} `json:"response"`
	// mqtt
	Connect struct {
		User string `json:"username"`
	} `json:"connect"`
	Ack struct {
		Code   Text `json:"return_code"`
		Reason Text `json:"reason_code"`
	} `json:"connack"`
}

// fillApp fills a record of the protocol kind from its member.
func (v *suricataEvent) fillApp(e *pipeline.Event, out *Out, data []byte) error {
	kind := v.EventType
	switch kind {
	case "krb5", "ftp", "ftp_data", "rdp", "smtp", "dhcp", "rfb", "ldap", "pgsql", "mqtt":
	default:
		return nil
	}
	b := member(data, kind)
	if b == nil {
		return nil
	}
	a := scratch[suricataApp](out)
	if err := decode(b, a); err != nil {
		return err
	}
	said := notLogin
	switch kind {
	case "krb5":
		e.Actor = a.Client
		e.Title = strings.TrimSpace(out.join(a.Message, " ", a.Client, " ", a.Service))
		switch a.Message {
		case "KRB_AS_REP", "KRB_TGS_REP":
			said = loginGranted
		case "KRB_ERROR":
			said = kerberosError(a.ErrorCode)
		}
		e.SetAttr("auth.reason", a.ErrorCode)
		e.SetAttr("kerberos.realm", a.Realm)
		e.SetAttr("kerberos.service", a.Service)
		e.SetAttr("kerberos.encryption", a.Encryption)
	case "ftp":
		said = a.fillFTP(e, out)
	case "ftp_data":
		e.Title = strings.TrimSpace(out.join("ftp ", string(a.Command), " ", a.Filename))
		e.SetAttr("command", string(a.Command))
		e.SetAttr("file.path", a.Filename)
	case "rdp":
		e.Actor = a.Cookie
	case "smtp":
		to := ""
		if len(a.To) > 0 {
			to = a.To[0]
		}
		e.Actor = strings.Trim(a.From, "<>")
		e.Title = out.join("mail from ", a.From, " to ", to)
	case "dhcp":
		e.Title = strings.TrimSpace(out.join("dhcp ", a.DHCPType, " ", a.Assigned, " ", a.Hostname))
		e.SetAttr("client.address", a.Assigned)
		e.SetAttr("client.mac", a.MAC)
		e.SetAttr("client.name", a.Hostname)
	case "rfb":
		if a.RFB.Result != "" {
			said = granted(strings.EqualFold(a.RFB.Result, "OK"))
		}
	case "ldap":
		e.Title = out.join("ldap ", a.Request.Operation)
		e.Actor = a.Request.Bind.Name
		if len(a.Responses) > 0 {
			said = ldapResult(a.Responses[0].Bind.Result)
			e.SetAttr("auth.reason", a.Responses[0].Bind.Message)
		}
	case "pgsql":
		said = a.fillPostgres(e, out)
	case "mqtt":
		e.Actor = a.Connect.User
		if code := first(a.Ack.Code, a.Ack.Reason); code != "" {
			said = granted(code == "0")
		}
	}
	said.fill(e, kind)
	return nil
}

// fillFTP: the password is in the record of its command, whose answer tells of the login.
func (a *suricataApp) fillFTP(e *pipeline.Event, out *Out) login {
	code := ""
	if len(a.Codes) > 0 {
		code = a.Codes[0]
	}
	if len(a.Replies) > 0 {
		e.SetAttr("ftp.reply", a.Replies[0])
	}
	command := strings.ToUpper(string(a.Command))
	e.Title = out.join("ftp ", command)
	e.SetAttr("command", command)
	e.SetAttr("ftp.code", code)
	switch command {
	case "USER":
		e.Actor = string(a.Data)
	case "PASS":
		out.Secret(string(a.Data))
		switch {
		case code == "":
		case code[0] == '2':
			return loginGranted
		case code[0] == '5':
			return loginRefused
		}
	case "RETR", "STOR", "DELE", "RNFR", "RNTO", "APPE", "STOU", "CWD", "MKD", "RMD":
		e.SetAttr("file.path", string(a.Data))
	}
	return notLogin
}

// fillPostgres: codes of class 28 are of logins, those of others of statements.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func (a *suricataApp) fillPostgres(e *pipeline.Event, out *Out) login {
	out.Secret(a.Request.Password)
	e.Actor = a.Request.Startup.User
	e.SetAttr("error.code", a.Response.Code)
	e.SetAttr("error.message", ifKind(a.Response.Code != "", a.Response.Message))
	switch {
	case a.Request.Query != "":
		e.Type, e.Class, e.Title = "db.statement", kinds["db.statement"].class, a.Request.Query
		e.SetAttr("db.system.name", "postgresql")
		e.SetAttr("db.query.text", a.Request.Query)
		switch {
		case a.Response.Code != "":
			e.Outcome = pipeline.OutcomeFailure
		case a.Response.Done != "":
			e.Outcome = pipeline.OutcomeSuccess
		}
	case strings.HasPrefix(a.Response.Code, "28"):
		return loginRefused
	case a.Response.Message == "authentication_ok":
		return loginGranted
	}
	return notLogin
}

// login tells what a record of SMB says of the login.
func (s *suricataSMB) login() login {
	if !strings.Contains(s.Command, "SESSION_SETUP") {
		return notLogin
	}
	switch s.Status {
	case "", "STATUS_MORE_PROCESSING_REQUIRED", "STATUS_MORE_PROCESSING":
		return notLogin
	}
	return granted(s.Status == "STATUS_SUCCESS")
}
