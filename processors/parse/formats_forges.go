package parse

// forgeFormats are what developers, forges, CI and registries emit, and the event envelopes.
var forgeFormats = []Format{
	github,
	gitlabCI,
	gitlab,
	gitea,
	bitbucket,
	azureDevOps,
	gerrit,
	gitLog,
	registryEvents,
	harbor,
	artifactRepo,
	scmAppLog,
	jenkinsNotification,
	jenkinsBuildJSON,
	junit,
	uiTest,
	gitSecrets,
	trufflehog,
	gitHoundEzekg,
	gitHoundTillson,
	gitCrypt,
	goTestJSON,
	cdEvents,
	cloudEvents,
}
