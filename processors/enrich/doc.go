// Package enrich adds to every event what its source could not know: which border its traffic crosses, whose service it
// is about, which country and network an address belongs to, whether an indicator stands on a threat list, and how urgent
// its vulnerability is. It also applies the two promises that come before storage: what was opted out goes no further,
// and people are told apart without being named.
//
// # The path of an event
//
// Processor.Process runs behind the parser and before the rules, once a batch:
//
//	assets     project, team, service, environment, owner, exposure   assets.go
//	opt-out    drops the event, and what else its record would leave  optout.go
//	proxies    the client's address from X-Forwarded-For              proxy.go
//	networks   net_scope, source.network, destination.network         network.go
//	geoip      source.geo.*, source.as.*, and of the destination      geoip.go
//	threats    label threat:<list>, threat.indicator                  threat.go
//	cve        vulnerability.kev, vulnerability.epss                  cve.go
//	osv        CVE aliases, fixed_version, vulnerability.withdrawn    osv.go
//	aliases    one name for one person                                alias.go
//	privacy    names become keyed hashes                              privacy.go
//
// A lookup fills what is empty and replaces nothing; aliases, proxies and privacy are the exceptions, for that is their
// purpose. Assets come first because an opt-out may name the project that only they know.
//
// # Tables
//
// Tables are read whole, validated whole, and swapped in one step (table.go, watch.go): a batch sees one set from its
// first event to its last. A table whose new file is wrong keeps what it had, and says so (Enricher.Problems and a
// metric). Its strings belong to the set and outlive every batch, so events may point to them.
//
// The package opens files and nothing else: no network, no look-up that waits.
package enrich
