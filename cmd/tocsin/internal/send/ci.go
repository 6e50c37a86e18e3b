package send

import (
	"net/url"
	"strings"
)

// CI returns what a CI server's environment says of the step that runs: columns and values, in the forms in which the
// parsers write them, so that a report joins what the server's own webhooks say of the same run. Outside CI it is empty.
func CI(getenv func(string) string) map[string]string {
	fields := map[string]string{}
	set := func(column, value string) {
		if value != "" && len(value) < 512 {
			fields[column] = value
		}
	}
	repo, commit, ref, pipeline, run := "", "", "", "", ""
	switch {
	case getenv("GITHUB_ACTIONS") != "": // Gitea and Forgejo set the same
		repo, commit, ref = getenv("GITHUB_SERVER_URL")+"/"+getenv("GITHUB_REPOSITORY"), getenv("GITHUB_SHA"), getenv("GITHUB_REF_NAME")
		pipeline, run = getenv("GITHUB_WORKFLOW"), getenv("GITHUB_RUN_ID")
	case getenv("GITLAB_CI") != "":
		repo, commit, ref = getenv("CI_PROJECT_URL"), getenv("CI_COMMIT_SHA"), getenv("CI_COMMIT_REF_NAME")
		pipeline, run = getenv("CI_PIPELINE_NAME"), getenv("CI_PIPELINE_ID")
	case getenv("BITBUCKET_BUILD_NUMBER") != "":
		repo, commit, ref = getenv("BITBUCKET_GIT_HTTP_ORIGIN"), getenv("BITBUCKET_COMMIT"), getenv("BITBUCKET_BRANCH")
		run = getenv("BITBUCKET_BUILD_NUMBER")
	case getenv("JENKINS_URL") != "":
		repo, commit, ref = getenv("GIT_URL"), getenv("GIT_COMMIT"), strings.TrimPrefix(getenv("GIT_BRANCH"), "origin/")
		pipeline = getenv("JOB_NAME")
		if number := getenv("BUILD_NUMBER"); number != "" {
			if u, err := url.Parse(getenv("JENKINS_URL")); err == nil {
				set("run_id", strings.ToLower(u.Hostname())+"/"+pipeline+"/"+number)
			}
		}
	default:
		return fields
	}
	repo = canonical(repo)
	set("repo", repo)
	set("commit_sha", strings.ToLower(commit))
	set("ref", ref)
	set("pipeline", pipeline)
	if run != "" && repo != "" {
		set("run_id", repo+"/"+run)
	}
	return fields
}

// canonical returns a repository as host/org/name: no scheme, no user and password, no .git.
func canonical(repo string) string {
	if u, err := url.Parse(repo); err == nil && u.Host != "" {
		repo = u.Hostname() + u.Path
	} else if _, rest, ok := strings.Cut(repo, "@"); ok { // git@host:org/name
		repo = strings.Replace(rest, ":", "/", 1)
	}
	return strings.ToLower(strings.Trim(strings.TrimSuffix(strings.TrimRight(repo, "/"), ".git"), "/"))
}
