package parse

import "slices"

// Formats lists every source format. They are asked in this order whether a payload of unknown format is theirs, so the
// stricter ones stand before those that accept more.
var Formats = slices.Concat(scannerFormats, forgeFormats, operationFormats)

// surest are the formats of text that may be sure.
var surest = []Format{accessLog, sshd}
