package parse

import "testing"

func TestGranteeOf(t *testing.T) {
	for statement, want := range map[string]string{
		"grant select on customers to auditor;":                       "auditor",
		"GRANT pg_read_all_data TO svc_report":                        "svc_report",
		"grant select,insert on shop.* to 'app'@'127.0.0.1', 'b'@'%'": "app",
		`CREATE USER IF NOT EXISTS "eve" PASSWORD '***'`:              "eve",
		"alter role bob superuser":                                    "bob",
		"create table users (id int)":                                 "",
		"create database user":                                        "",
		"revoke select on t from bob":                                 "",
		"grant":                                                       "",
		"grant x to":                                                  "",
		"create user":                                                 "",
		"":                                                            "",
	} {
		if got := granteeOf(statement); got != want {
			t.Errorf("%q: got %q, want %q", statement, got, want)
		}
	}
}
