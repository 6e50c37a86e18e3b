package parse

// forgeFormats are what developers, forges, CI and registries emit, and the event envelopes.
var forgeFormats = []Format{
	github,
	jenkinsNotification,
	jenkinsBuildJSON,
	junit,
	gitSecrets,
	trufflehog,
	gitHoundEzekg,
	gitHoundTillson,
	gitCrypt,
	goTestJSON,
	cdEvents,
	cloudEvents,
}
