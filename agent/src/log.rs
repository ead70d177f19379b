//! Lines for whoever looks after the machine, on standard error.

use std::{fmt, io::Write};

/// Writes a line, if that can be done: where it cannot, as into a file on a full
/// disk, `eprintln!` would panic.
pub(crate) fn warn(what: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "sandbox-agent: {what}");
}
