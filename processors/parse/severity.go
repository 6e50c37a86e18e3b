package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// severityWord converts the words that scanners use, in any case. What it does not know is unknown.
func severityWord(s string) uint8 {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "none", "info", "informational", "information", "note", "negligible", "log", "debug":
		return pipeline.SeverityInfo
	case "low", "minor":
		return pipeline.SeverityLow
	case "medium", "moderate", "warning", "warn":
		return pipeline.SeverityMedium
	case "high", "error", "important", "major", "serious":
		return pipeline.SeverityHigh
	case "critical", "blocker":
		return pipeline.SeverityCritical
	}
	return pipeline.SeverityUnknown
}

// severityCVSS converts a CVSS base score: 0.1-3.9 low, 4.0-6.9 medium, 7.0-8.9 high, 9.0 and more critical.
// https://www.first.org/cvss/v3.1/specification-document#Qualitative-Severity-Rating-Scale
func severityCVSS(score float64) uint8 {
	switch {
	case score >= 9:
		return pipeline.SeverityCritical
	case score >= 7:
		return pipeline.SeverityHigh
	case score >= 4:
		return pipeline.SeverityMedium
	case score > 0:
		return pipeline.SeverityLow
	}
	return pipeline.SeverityUnknown
}
