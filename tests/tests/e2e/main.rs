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
mod large_tree;
mod missing_backup;
mod missing_settings;
mod openapi;
mod operation_log;
mod production;
mod progress;
mod restore;
mod rust_client;
mod sandboxctl;
mod scale;
mod selection;
mod store_faults;
mod verify;

use std::{
    pin::Pin,
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use libtest_mimic::{Arguments, Trial};
use sandbox_tests::stage::Stage;
use tokio::{runtime::Runtime, sync::RwLock};

/// Tests mostly wait for each other's processes, so a few at once are not too
/// many even for two cores.
const TESTS_AT_ONCE: usize = 4;

type Test = fn(Arc<Stage>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Some tests of one module.
struct Tests {
    module: &'static str,
    tests: Vec<(&'static str, Test)>,
    /// Whether nothing else may run meanwhile, because time is measured.
    alone: bool,
    /// Whether it runs only with `--ignored`, because it takes long.
    on_demand: bool,
}

/// Lists async functions that take `Arc<Stage>` as tests of their module.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(crate) fn tests() -> crate::Tests {
            crate::Tests {
                module: module_path!().rsplit("::").next().unwrap_or_default(),
                tests: vec![$((stringify!($name), |stage| Box::pin($name(stage)))),+],
                alone: false,
                on_demand: false,
            }
        }
    };
}
pub(crate) use tests;

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
        missing_backup::tests(),
        missing_settings::tests(),
        openapi::tests(),
        operation_log::tests(),
        production::tests(),
        progress::tests(),
        restore::tests(),
        rust_client::tests(),
        sandboxctl::tests(),
        scale::tests(),
        selection::tests(),
        store_faults::tests(),
        verify::tests(),
    ]
}

/// Makes the stage when it is first asked for.
struct Theatre {
    runtime: Runtime,
    stage: OnceLock<Result<Arc<Stage>, String>>,
    /// Held for writing by a test that runs alone.
    quiet: RwLock<()>,
}

impl Theatre {
    fn run(&self, test: Test, alone: bool) -> Result<(), libtest_mimic::Failed> {
        let stage = self.stage.get_or_init(|| {
            self.runtime
                .block_on(Stage::set())
                .map(Arc::new)
                .map_err(|error| format!("{error:#}"))
        });
        let stage = stage.clone()?;
        self.runtime.block_on(async {
            if alone {
                let _quiet = self.quiet.write().await;
                test(stage).await;
            } else {
                let _others = self.quiet.read().await;
                test(stage).await;
            }
        });
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let theatre = Arc::new(Theatre {
        runtime: Runtime::new().expect("a runtime for the tests"),
        stage: OnceLock::new(),
        quiet: RwLock::new(()),
    });
    let trials = all()
        .into_iter()
        .flat_map(
            |Tests {
                 module,
                 tests,
                 alone,
                 on_demand,
             }| {
                let theatre = theatre.clone();
                tests.into_iter().map(move |(name, test)| {
                    let theatre = theatre.clone();
                    Trial::test(format!("{module}::{name}"), move || {
                        theatre.run(test, alone)
                    })
                    .with_ignored_flag(on_demand)
                })
            },
        )
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(theatre) = Arc::into_inner(theatre)
        && let Some(Ok(stage)) = theatre.stage.into_inner()
    {
        let _in_runtime = theatre.runtime.enter();
        drop(stage);
    }
    conclusion.exit_code()
}
