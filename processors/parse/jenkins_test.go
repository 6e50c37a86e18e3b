package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestJenkinsNotification(t *testing.T) { parsetest.Run(t, "jenkins-notification") }
func FuzzJenkinsNotification(f *testing.F) { parsetest.Fuzz(f, "jenkins-notification") }

func TestJenkinsBuildJSON(t *testing.T) { parsetest.Run(t, "jenkins-build-json") }
func FuzzJenkinsBuildJSON(f *testing.F) { parsetest.Fuzz(f, "jenkins-build-json") }
