// Package profiles holds ready rules: links.toml, with the links that a rule
// may name with link = "satellite" and the like. The file is what people read
// and what the program reads.
package profiles

import _ "embed"

// Links is links.toml.
//
//go:embed links.toml
var Links string
