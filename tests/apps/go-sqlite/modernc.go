//go:build newer

package main

// SQLite without C, as driver `sqlite`; it takes long to compile.
import _ "modernc.org/sqlite"
