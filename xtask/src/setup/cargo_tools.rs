//! Cargo packages with programs, compiled into this user's cache.
//!
//! Debug builds: they compile in half the time and are fast enough.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use sandbox_toolbox::{process, project};

const WORKER_BUILD_VERSION: &str = "0.8.7";

pub(super) fn worker_build(cache: &Path) -> Result<PathBuf> {
    let worker_build = Tool {
        package: "worker-build",
        binary: "worker-build",
        version: WORKER_BUILD_VERSION.into(),
        locked: true,
    };
    worker_build.ensure(cache)
}

pub(super) fn wasm_bindgen(cache: &Path) -> Result<PathBuf> {
    let wasm_bindgen = Tool {
        package: "wasm-bindgen-cli",
        binary: "wasm-bindgen",
        version: wasm_bindgen_version()?,
        // Its lock file names dependencies that no longer compile.
        locked: false,
    };
    wasm_bindgen.ensure(cache)
}

pub(super) fn fsx(cache: &Path) -> Result<PathBuf> {
    let fsx = Tool {
        package: "fsx",
        binary: "fsx",
        version: "0.3.2".into(),
        locked: false,
    };
    fsx.ensure(cache)
}

pub(super) fn pjdfstest(cache: &Path) -> Result<PathBuf> {
    let pjdfstest = Tool {
        package: "pjdfstest",
        binary: "pjdfstest",
        version: "0.2.2".into(),
        locked: false,
    };
    pjdfstest.ensure(cache)
}

/// The program and the library must be of the same version.
fn wasm_bindgen_version() -> Result<String> {
    let lock = fs::read_to_string(project::root().join("Cargo.lock"))?;
    locked_version(&lock, "wasm-bindgen").context("Cargo.lock has no wasm-bindgen")
}

fn locked_version(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.strip_suffix('"')?.into())
}

struct Tool {
    package: &'static str,
    binary: &'static str,
    version: String,
    locked: bool,
}

impl Tool {
    /// The path of the program, which is compiled unless it is there already.
    fn ensure(&self, cache: &Path) -> Result<PathBuf> {
        let root = cache.join(format!("{}-{}", self.package, self.version));
        let program = root.join("bin").join(self.binary);
        if !self.is_installed(&program) {
            self.install(cache, &root)?;
            if !self.is_installed(&program) {
                bail!("{} is not of version {}", program.display(), self.version);
            }
        }
        Ok(program)
    }

    fn is_installed(&self, program: &Path) -> bool {
        program.is_file()
            && process::output(Command::new(program).arg("--version")).is_ok_and(|answer| {
                // "0.8.7" or "wasm-bindgen 0.2.130"
                answer.split_whitespace().any(|word| word == self.version)
            })
    }

    fn install(&self, cache: &Path, root: &Path) -> Result<()> {
        let target = cache.join("target");
        let mut install = process::cargo();
        install
            // Not in the working tree, whose configuration is not for these.
            .current_dir(cache)
            .env("CARGO_TARGET_DIR", &target)
            .args(["install", "--quiet", "--debug", "--force", "--root"])
            .arg(root)
            .args([self.package, "--version", &self.version]);
        if self.locked {
            install.arg("--locked");
        }
        let installed = process::run(&mut install);
        fs::remove_dir_all(&target).ok();
        installed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_name_is_not_taken_for_the_package() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.80\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(
            locked_version(lock, "wasm-bindgen").as_deref(),
            Some("0.2.130")
        );
        assert_eq!(locked_version(lock, "wasm"), None);
    }

    #[test]
    fn the_workspace_locks_wasm_bindgen() {
        assert!(wasm_bindgen_version().unwrap().starts_with("0.2."));
    }
}
