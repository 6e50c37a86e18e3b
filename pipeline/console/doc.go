// Package console is the admin address: health, metrics, profiles, and the console, a page that draws the dashboards
// which tocsin ships for Grafana, live from ClickHouse.
//
// The path of a panel:
//
//	deploy/grafana   the dashboard's file: panels with their SQL, in Grafana's own format
//	browser          asks for a panel by dashboard, id, range and variables (static/); it never sends SQL
//	query.go         checks the request and finds the panel's statement
//	macro.go         expands Grafana's macros and variables into bound parameters
//	clickhouse.DB    runs it read-only, within limits of rows and time
//	browser          draws the rows by the panel's type and field options (static/panel/)
//
// What is not obvious:
//   - A target with "hide": true is one that Grafana does not run. The console does: on a stat panel it gives each tile
//     its details.
//   - There are no users. The address is loopback by default, other names than its own are refused, and the page may load
//     nothing from elsewhere. Whoever can reach it reads what the configured ClickHouse user may.
//   - Times go to the browser as milliseconds, and come from it so: a relative range is resolved once for all panels of
//     a page, in the browser.
package console
