//! `sandbox-agent`: see the library for what it does.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox_agent::cli::main()
}
