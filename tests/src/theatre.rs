//! Tests that share one scene: it is set once, before the first test that
//! needs it, and cleared away when all are done, whatever became of them.

use std::{
    pin::Pin,
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};
use tokio::{runtime::Runtime, sync::RwLock};

/// Tests mostly wait for each other's processes, so a few at once are not too
/// many even for two cores.
const TESTS_AT_ONCE: usize = 4;

/// A test on a scene.
pub type Test<S> = fn(Arc<S>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Some tests of one module.
#[derive(Debug)]
pub struct Tests<S> {
    /// Its name.
    pub module: &'static str,
    /// With their names.
    pub tests: Vec<(&'static str, Test<S>)>,
    /// Whether nothing else may run meanwhile, because time is measured.
    pub alone: bool,
    /// Whether it runs only with `--ignored`, because it takes long.
    pub on_demand: bool,
}

/// Lists async functions that are tests of their module, which is directly in the
/// crate that says what its `Tests` are.
#[macro_export]
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(crate) fn tests() -> super::Tests {
            super::Tests {
                module: module_path!().rsplit("::").next().unwrap_or_default(),
                tests: vec![$((stringify!($name), |stage| Box::pin($name(stage)))),+],
                alone: false,
                on_demand: false,
            }
        }
    };
}

/// Makes the scene when it is first asked for.
struct Theatre<S, F> {
    runtime: Runtime,
    set: F,
    scene: OnceLock<Result<Arc<S>, String>>,
    /// Held for writing by a test that runs alone.
    quiet: RwLock<()>,
}

impl<S, F: AsyncFn() -> Result<S>> Theatre<S, F> {
    fn run(&self, test: Test<S>, alone: bool) -> Result<(), libtest_mimic::Failed> {
        let scene = self.scene.get_or_init(|| {
            self.runtime
                .block_on((self.set)())
                .map(Arc::new)
                .map_err(|error| format!("{error:#}"))
        });
        let scene = scene.clone()?;
        self.runtime.block_on(async {
            if alone {
                let _quiet = self.quiet.write().await;
                test(scene).await;
            } else {
                let _others = self.quiet.read().await;
                test(scene).await;
            }
        });
        Ok(())
    }
}

/// Runs those of the tests that the command line asks for, on what `set` makes.
pub fn perform<S: Send + Sync + 'static>(
    set: impl AsyncFn() -> Result<S> + Send + Sync + 'static,
    all: Vec<Tests<S>>,
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let theatre = Arc::new(Theatre {
        runtime: Runtime::new().expect("a runtime for the tests"),
        set,
        scene: OnceLock::new(),
        quiet: RwLock::new(()),
    });
    let mut trials = Vec::new();
    for group in all {
        for (name, test) in group.tests {
            let theatre = theatre.clone();
            let name = format!("{}::{name}", group.module);
            let trial = Trial::test(name, move || theatre.run(test, group.alone));
            trials.push(trial.with_ignored_flag(group.on_demand));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(theatre) = Arc::into_inner(theatre)
        && let Some(Ok(scene)) = theatre.scene.into_inner()
    {
        let _in_runtime = theatre.runtime.enter();
        drop(scene);
    }
    conclusion.exit_code()
}
