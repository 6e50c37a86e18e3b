// Package grafana holds the dashboards, the data source and the alert rules that tocsin ships for Grafana. They are plain
// files, to be mounted into a Grafana; the dashboards are embedded as well, because the console draws the same ones.
package grafana

import "embed"

// Dashboards holds dashboards/<folder>/<name>.json: a folder for each team, and one for everybody.
//
//go:embed dashboards/*/*.json
var Dashboards embed.FS
