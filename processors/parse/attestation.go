package parse

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// attestation reads what says who made or checked an artifact: in-toto statements with SLSA provenance or verification
// summaries, bare, in a DSSE envelope or in a Sigstore bundle, and what `cosign verify` prints. Signatures are not checked
// here: an envelope that has one says that somebody signed. A bare statement says only what was built.
// https://github.com/in-toto/attestation/tree/main/spec https://slsa.dev/spec/v1.0/verification_summary
var attestation = Format{
	Name: "attestation", Title: "signatures and attestations (cosign, in-toto, SLSA, Sigstore bundles)", Phase: pipeline.PhasePackaging,
	Types: []string{"artifact.signed", "artifact.verified", "artifact.packaged", "log"},
	Known: "JSON with _type of in-toto and predicateType; payloadType and signatures; mediaType of a Sigstore bundle; array of objects with critical and optional",
	Frame: Values,
	Match: func(s *Shape) bool {
		return strings.HasPrefix(s.String("_type"), "https://in-toto.io/Statement") || s.Has("payloadType", "payload", "signatures") ||
			strings.HasPrefix(s.String("mediaType"), "application/vnd.dev.sigstore.bundle") || s.Raw("critical", "image") != nil
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return attestationObject(b, out) })
		}
		return attestationObject(in.Data, out)
	},
}

// inTotoStatement says something (the predicate) about artifacts.
type inTotoStatement struct {
	Subject []struct {
		Name   Text            `json:"name"`
		Digest map[string]Text `json:"digest"`
	} `json:"subject"`
	Type      Text `json:"predicateType"`
	Predicate struct {
		Builder struct { // provenance 0.2
			ID Text `json:"id"`
		} `json:"builder"`
		Invocation struct {
			Source slsaSource `json:"configSource"`
		} `json:"invocation"`
		Metadata slsaMetadata `json:"metadata"`

		Definition struct { // provenance 1
			BuildType Text         `json:"buildType"`
			Materials []slsaSource `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		Run struct {
			Builder struct {
				ID Text `json:"id"`
			} `json:"builder"`
			Metadata slsaMetadata `json:"metadata"`
		} `json:"runDetails"`

		Verifier struct { // verification summary
			ID Text `json:"id"`
		} `json:"verifier"`
		Verified Text    `json:"timeVerified"`
		Result   Text    `json:"verificationResult"`
		OldLevel Text    `json:"policy_level"`
		Levels   Strings `json:"verifiedLevels"`
	} `json:"predicate"`
}

type slsaSource struct {
	URI    Text            `json:"uri"`
	Digest map[string]Text `json:"digest"`
}

type slsaMetadata struct {
	Run      Text `json:"invocationId"`
	Finished Text `json:"finishedOn"`
	OldRun   Text `json:"buildInvocationID"`
	OldEnd   Text `json:"buildFinishedOn"`
}

// dsseEnvelope is a signed text. https://github.com/secure-systems-lab/dsse
type dsseEnvelope struct {
	Payload    Text `json:"payload"`
	Signatures []struct {
		KeyID Text `json:"keyid"`
	} `json:"signatures"`
}

// attestationRecord is any of the forms.
type attestationRecord struct {
	inTotoStatement
	dsseEnvelope

	Envelope *dsseEnvelope `json:"dsseEnvelope"` // of a Sigstore bundle, or else:
	Message  struct {
		Digest struct {
			Digest Text `json:"digest"`
		} `json:"messageDigest"`
	} `json:"messageSignature"`
	Material struct {
		Log []struct {
			Time Text `json:"integratedTime"`
		} `json:"tlogEntries"`
	} `json:"verificationMaterial"`

	Critical struct { // cosign verify
		Identity struct {
			Reference Text `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest Text `json:"docker-manifest-digest"`
		} `json:"image"`
	} `json:"critical"`
	Optional struct {
		Issuer  Text `json:"Issuer"`
		Subject Text `json:"Subject"`
	} `json:"optional"`
}

func attestationObject(b []byte, out *Out) error {
	var v attestationRecord
	if err := decode(b, &v); err != nil {
		return err
	}
	at := ""
	if len(v.Material.Log) > 0 {
		at = string(v.Material.Log[0].Time)
	}
	envelope := &v.dsseEnvelope
	if v.Envelope != nil {
		envelope = v.Envelope
	}
	switch {
	case v.Critical.Image.Digest != "":
		e := out.Event("artifact.verified")
		e.Raw, e.Outcome, e.Severity = alias(b), pipeline.OutcomeSuccess, pipeline.SeverityInfo
		e.Artifact, e.Digest, e.Actor = string(v.Critical.Identity.Reference), string(v.Critical.Image.Digest), string(v.Optional.Subject)
		e.Title = "signature of " + first(e.Artifact, e.Digest) + " is valid"
		e.SetAttr("certificate.issuer", string(v.Optional.Issuer))
		return nil
	case envelope.Payload != "":
		text, err := base64.StdEncoding.DecodeString(string(envelope.Payload))
		if err != nil {
			return errors.New("attestation: payload of the envelope is not base64")
		}
		out.encoded = true
		var s inTotoStatement
		if err := decode(text, &s); err != nil {
			return errors.New("attestation: payload of the envelope is no in-toto statement")
		}
		return s.events(out, alias(b), len(envelope.Signatures) > 0, at)
	case v.Message.Digest.Digest != "":
		sum, err := base64.StdEncoding.DecodeString(string(v.Message.Digest.Digest))
		if err != nil || len(sum) != sha256.Size {
			return errors.New("attestation: digest of the bundle is no SHA-256 in base64")
		}
		e := out.Event("artifact.signed")
		e.Raw, e.Severity, e.Digest, e.Time = alias(b), pipeline.SeverityInfo, "sha256:"+hex.EncodeToString(sum), parseTime(at)
		e.Title = "signed " + e.Digest
		return nil
	}
	return v.inTotoStatement.events(out, alias(b), false, at)
}

// events gives one event for each artifact that the statement is about.
func (s *inTotoStatement) events(out *Out, raw string, signed bool, at string) error {
	if len(s.Subject) == 0 {
		return errors.New("attestation: statement without subject")
	}
	p := &s.Predicate
	kind := string(s.Type)
	builder := string(first(p.Run.Builder.ID, p.Builder.ID))
	for i := range s.Subject {
		typ, did := "log", "statement about "
		switch {
		case strings.EqualFold(string(p.Result), "FAILED"):
			typ, did = "artifact.verified", "verification failed of "
		case p.Result != "":
			typ, did = "artifact.verified", "verified "
		case signed:
			typ, did = "artifact.signed", "signed attestation of "
		case builder != "":
			typ, did = "artifact.packaged", "built "
		}
		e := out.Event(typ)
		e.Raw, e.Severity = raw, pipeline.SeverityInfo
		e.Time = parseTime(first(string(first(p.Verified, p.Run.Metadata.Finished, p.Metadata.Finished, p.Metadata.OldEnd)), at))
		e.Artifact = string(s.Subject[i].Name)
		if strings.HasPrefix(e.Artifact, "pkg:") {
			e.Purl = purlClean(e.Artifact)
		}
		if sum := s.Subject[i].Digest["sha256"]; sum != "" {
			e.Digest = "sha256:" + string(sum)
		}
		switch strings.ToUpper(string(p.Result)) {
		case "PASSED":
			e.Outcome = pipeline.OutcomeSuccess
		case "FAILED":
			e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityHigh
		}
		source := p.Invocation.Source
		if len(p.Definition.Materials) > 0 {
			source = p.Definition.Materials[0]
		}
		link, ref, _ := strings.Cut(strings.TrimPrefix(string(source.URI), "git+"), "@")
		if source.URI != "" {
			e.Repo, e.Ref = repoOf(link), refOf(ref)
		}
		e.Commit = commitOf(string(first(source.Digest["gitCommit"], source.Digest["sha1"])))
		e.Run = string(first(p.Run.Metadata.Run, p.Metadata.Run, p.Metadata.OldRun))
		e.Title = did + first(e.Artifact, e.Digest, "an artifact")
		if builder != "" {
			e.Title += " by " + builder
		}
		e.SetAttr("attestation.predicate_type", kind)
		e.SetAttr("attestation.builder", builder)
		e.SetAttr("attestation.build_type", string(p.Definition.BuildType))
		e.SetAttr("attestation.verifier", string(p.Verifier.ID))
		e.SetAttr("slsa.level", first(strings.Join(p.Levels, ","), string(p.OldLevel)))
	}
	return nil
}
