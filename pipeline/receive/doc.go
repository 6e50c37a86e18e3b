// Package receive is the way in for what speaks HTTP and not Kafka: webhooks of forges, CI servers and registries,
// CloudEvents, a CI step that posts its report. Each request becomes one record, its body untouched, its telling headers
// beside it, so that the parsers read it as if the source had written to Kafka itself.
//
// The path of a request: find the route, set its size aside (429 where too much is under way), read the body up to the
// limit (413), check who sent it (verify.go; 401), drop what was delivered before, write to Kafka and wait for it (503 where
// it does not come), answer 202. A sender that gets no 2xx tries again, and nothing is acknowledged that Kafka does not have.
package receive
