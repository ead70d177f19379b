//! The product as its users meet it: the real Worker under `wrangler dev`,
//! real agents in containers of the local host, real archives, real mounts.
//!
//! The stage is set once, before the first test that needs it, and cleared
//! away when all are done, whatever became of them. Each test has sandboxes of
//! its own, named after it. `cargo test -p sandbox-tests --test e2e -- NAME`
//! runs those whose name contains NAME.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod archive;
mod auto_restore;
mod catalogue;
mod coding_agent;
mod concurrency;
mod container;
mod copy_on_write;
mod corrupt_archive;
mod dashboard;
mod documents;
mod errors_for_every_caller;
mod exec;
mod expiry;
mod failed_backup;
mod file_names;
mod files;
mod foreign_backup;
mod guide;
mod http_routes;
mod interruption;
mod invalid_input;
mod isolation;
mod javascript_values;
mod large_tree;
mod lies;
mod method_table;
mod missing_backup;
mod missing_settings;
mod misspelt;
mod openapi;
mod operation_log;
mod production;
mod progress;
mod pruning;
mod restore;
mod rust_client;
mod sandboxctl;
mod scale;
mod selection;
mod signed_urls;
mod soak;
mod store_faults;
mod stored_tables;
mod verify;

use std::process::ExitCode;

pub(crate) use sandbox_tests::tests;
use sandbox_tests::{stage::Stage, theatre};

type Tests = theatre::Tests<Stage>;

fn all() -> Vec<Tests> {
    vec![
        large_tree::tests(),
        archive::tests(),
        auto_restore::tests(),
        catalogue::tests(),
        coding_agent::tests(),
        concurrency::tests(),
        container::tests(),
        copy_on_write::tests(),
        corrupt_archive::tests(),
        dashboard::tests(),
        documents::tests(),
        errors_for_every_caller::tests(),
        exec::tests(),
        expiry::tests(),
        failed_backup::tests(),
        file_names::tests(),
        files::tests(),
        foreign_backup::tests(),
        guide::tests(),
        http_routes::tests(),
        interruption::tests(),
        invalid_input::tests(),
        isolation::tests(),
        javascript_values::tests(),
        lies::tests(),
        method_table::tests(),
        missing_backup::tests(),
        missing_settings::tests(),
        misspelt::tests(),
        openapi::tests(),
        operation_log::tests(),
        production::tests(),
        progress::tests(),
        pruning::tests(),
        restore::tests(),
        rust_client::tests(),
        sandboxctl::tests(),
        scale::tests(),
        selection::tests(),
        signed_urls::tests(),
        soak::tests(),
        store_faults::tests(),
        stored_tables::tests(),
        verify::tests(),
    ]
}

fn main() -> ExitCode {
    theatre::perform(Stage::set, all())
}
