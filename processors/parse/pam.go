package parse

import "strings"

// readPAM reads what Linux-PAM's modules log, whatever program they serve: "pam_unix(sshd:auth): authentication failure;
// logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root", "PAM 5 more authentication failures; ...". Until version
// 0.99 the module stood in brackets before the text, or behind the program's name.
// A PAM line goes with the program's own verdict.
// https://github.com/linux-pam/linux-pam/blob/master/modules/pam_unix/support.c
func readPAM(s string) authVerdict {
	v := authVerdict{event: "log", trace: true}
	if rest, ok := strings.CutPrefix(s, "PAM "); ok {
		n, rest, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(rest, "more authentication failure") {
			v.repeated = n
		}
	}
	switch {
	case strings.Contains(s, "authentication failure"):
		v.event, v.method = "auth.failed", "pam"
		if _, fields, ok := strings.Cut(s, "; "); ok {
			v.user, v.address = pamField(fields, "user="), pamField(fields, "rhost=")
		}
	case strings.HasPrefix(s, "PAM: "):
		// "PAM: Authentication failure for [illegal user ]root from A", "PAM: User account has expired for U from A".
		if _, rest, ok := strings.Cut(s, " for "); ok {
			v.event, v.method = "auth.failed", "pam"
			v.client(rest)
		}
	case strings.Contains(s, "(Authentication failure)"), strings.Contains(s, "(User not known"):
		v.event, v.method = "auth.failed", "pam"
		if _, rest, ok := strings.Cut(s, "for user "); ok {
			v.user, _, _ = strings.Cut(rest, ":")
		}
	case strings.Contains(s, "onsecutive login failures for user "):
		_, rest, _ := strings.Cut(s, "for user ")
		v.event, v.method, v.user, v.reason = "auth.failed", "pam", firstWord(rest), "account locked"
	case strings.Contains(s, "session opened for user "):
		_, rest, _ := strings.Cut(s, "session opened for user ")
		v.event, v.user = "auth.success", pamUser(rest)
	case strings.Contains(s, "session closed for user "):
		_, rest, _ := strings.Cut(s, "session closed for user ")
		v.event, v.user = "auth.logout", pamUser(rest)
	}
	return v
}

// pamField returns the value of a field such as "user=": the text up to the next blank.
func pamField(s, key string) string {
	for i := 0; ; {
		j := strings.Index(s[i:], key)
		if j < 0 {
			return ""
		}
		if i += j; i == 0 || s[i-1] == ' ' { // not the end of ruser=
			return firstWord(s[i+len(key):])
		}
		i += len(key)
	}
}

// pamUser cuts the user id off "root(uid=0) by (uid=0)".
func pamUser(s string) string {
	s, _, _ = strings.Cut(firstWord(s), "(")
	return s
}
