package rule

import (
	"strings"
	"testing"
)

func TestTechniques(t *testing.T) {
	for id, want := range map[string][2]string{
		"T1110.004": {"T1110.004", ""},
		"T1086":     {"T1059.001", "taken for T1059.001 (Command and Scripting Interpreter: PowerShell)"},
		"T1073":     {"T1574.001", "revoked"}, // by T1574.002, which was revoked in its turn
		"T1064":     {"T1064", "given up"},
		"T1110.404": {"T1110.404", "not in ATT&CK " + AttackVersion + "; T1110.004 is Brute Force: Credential Stuffing"},
	} {
		now, note := Technique(id)
		if now != want[0] || !strings.Contains(note, want[1]) || (note == "") != (want[1] == "") {
			t.Errorf("%s: got %s, %q; want %s, %q", id, now, note, want[0], want[1])
		}
	}
}

// attack.tsv is whole: each successor is a technique, and no chain of successors goes in a circle.
func TestAttackTable(t *testing.T) {
	live := 0
	for id, one := range techniques() {
		if !techniquePattern.MatchString(id) || one.name == "" {
			t.Errorf("%q %q", id, one.name)
		}
		seen := map[string]bool{}
		for at := id; techniques()[at].successor != "" && techniques()[at].successor != "-"; at = techniques()[at].successor {
			if _, known := techniques()[techniques()[at].successor]; !known || seen[at] {
				t.Fatalf("%s leads to %s", id, techniques()[at].successor)
			}
			seen[at] = true
		}
		if one.successor == "" {
			live++
		}
	}
	if live < 690 {
		t.Errorf("%d techniques", live)
	}
	if !strings.Contains(attackTable, "version "+AttackVersion+":") || !strings.Contains(attackTable, "The MITRE Corporation") {
		t.Error("the table does not say whose it is, and of which version")
	}
}

// What ATT&CK has revoked is replaced, what it does not know is named, and nothing of the library is either.
func TestTechniquesOfRules(t *testing.T) {
	const text = "id: x\ntitle: t\nkind: match\nwhy: w\nattack: [T1086, T1059.001, T9999]\nsubscriptions: [{team: sec, severity: 3}]\nkey: ev.Host\nwhen: true\nalert: {title: t, summary: s}\n"
	set, err := Load([]File{{"x.yaml", []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(set.Rule("x").Attacks, " "); got != "T1059.001 T9999" {
		t.Errorf("techniques %s", got)
	}
	if len(set.Warnings) != 2 || !strings.HasPrefix(set.Warnings[0], "x.yaml:5:10: attack: T1086 was revoked") || !strings.HasPrefix(set.Warnings[1], "x.yaml:5:28: attack: T9999 is not in ATT&CK") {
		t.Errorf("warnings %q", set.Warnings)
	}
	if set, err = Load(Library()); err != nil || len(set.Warnings) > 0 {
		t.Errorf("the library: %v, %q", err, set.Warnings)
	}
}
