package clickhouse

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/sony/gobreaker/v2"
)

// Reaction is what an error of ClickHouse calls for.
type Reaction uint8

const (
	// Halt: a person must mend something (rights, tables, versions), or nobody knows what it is. Stop reading and say so;
	// nothing goes to the dead letters.
	Halt Reaction = iota
	// Retry: it passes by itself. Send the same block again, with the same token, until it is taken.
	Retry
	// Isolate: the server refuses rows for what is in them. Those become dead letters.
	Isolate
)

func (r Reaction) String() string { return [...]string{"halt", "retry", "isolate"}[r] }

// reactions has the error codes of ClickHouse that do not call for a halt. What is not here may be a broken promise of
// ours or of the server's, and must not drain a topic into the dead letters.
var reactions = map[Reaction][]proto.Error{
	Retry: {
		// The server is busy, or short of something.
		proto.ErrTimeoutExceeded, proto.ErrTooSlow, proto.ErrCannotAllocateMemory, proto.ErrQuotaExceeded,
		proto.ErrTooManySimultaneousQueries, proto.ErrNotEnoughSpace, proto.ErrTooManyParts, proto.ErrCannotScheduleTask,
		proto.ErrServerOverloaded, proto.ErrTooManyMutations, proto.ErrDeadlockAvoided,
		proto.ErrMemoryLimitExceeded, // but see codeReaction
		// The connection broke, or somebody ended the query.
		proto.ErrUnexpectedEndOfFile, proto.ErrAttemptToReadAfterEOF, proto.ErrCannotReadAllData, proto.ErrChecksumDoesntMatch,
		proto.ErrCannotReadFromSocket, proto.ErrCannotWriteToSocket, proto.ErrNoFreeConnection, proto.ErrSocketTimeout,
		proto.ErrNetworkError, proto.ErrAllConnectionTriesFailed, proto.ErrAborted, proto.ErrQueryWasCancelled,
		// Disks, replicas and Keeper.
		proto.ErrCannotReadFromFileDescriptor, proto.ErrCannotWriteToFileDescriptor, proto.ErrS3Error, proto.ErrSystemError,
		proto.ErrTableIsReadOnly, proto.ErrNoZookeeper, proto.ErrKeeperException, proto.ErrTooFewLiveReplicas,
		proto.ErrUnsatisfiedQuorumForPreviousWrite, proto.ErrUnknownStatusOfInsert, proto.ErrAllReplicasAreStale,
		proto.ErrNoRemoteShardAvailable,
	},
	// A view may say these as well, of rows that its table has by then. Isolating finds no guilty row there, and halts.
	Isolate: {
		proto.ErrTooLargeArraySize, proto.ErrTooLargeStringSize,
		proto.ErrCannotParseText, proto.ErrCannotParseQuotedString, proto.ErrCannotParseInputAssertionFailed,
		proto.ErrCannotParseDate, proto.ErrCannotParseDatetime, proto.ErrCannotParseNumber, proto.ErrArgumentOutOfBound,
		proto.ErrCannotConvertType, proto.ErrIncorrectData, proto.ErrValueIsOutOfRangeOfDataType, proto.ErrViolatedConstraint,
	},
}

// Classify says what err calls for. It knows the errors of sinks and of queries; nil is no error and not to be asked.
func Classify(err error) Reaction {
	if code, message := Code(err); code != 0 {
		return codeReaction(code, message)
	}
	var netErr net.Error
	var errno syscall.Errno
	switch {
	case errors.As(err, &netErr), errors.As(err, &errno),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, ch.ErrClosed),
		errors.Is(err, driver.ErrAcquireConnTimeout), errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Retry
	}
	return Halt
}

func codeReaction(code int32, message string) Reaction {
	// The same code for a server that is full, which passes, and for a block that is too big for one query's share. Smaller
	// blocks are for a person to decide (flush.bytes): parts of this one may be stored already, under its token.
	if proto.Error(code) == proto.ErrMemoryLimitExceeded &&
		(strings.Contains(message, "Query memory limit") || strings.Contains(message, "(for query)")) {
		return Halt
	}
	for reaction, codes := range reactions {
		if slices.Contains(codes, proto.Error(code)) {
			return reaction
		}
	}
	return Halt
}

// Code returns ClickHouse's error code and message, and 0 when err did not come from a server.
func Code(err error) (code int32, message string) {
	var native *ch.Exception
	if errors.As(err, &native) {
		return int32(native.Code), native.Message
	}
	var exception *driver.Exception
	if errors.As(err, &exception) {
		return exception.Code, exception.Message
	}
	return 0, ""
}
