//! Programs of the operating system.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use sandbox_toolbox::{process, project};

/// A program that must be there, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("bwrap", "bubblewrap"),
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("fuse-overlayfs", "fuse-overlayfs"),
    ("fusermount3", "fuse3"),
    ("getfattr", "attr"),
    ("curl", "curl"),
    ("git", "git"),
    ("jq", "jq"),
    ("mksquashfs", "squashfs-tools"),
    ("mount", "mount"),
    ("musl-gcc", "musl-tools"),
    ("python3", "python3"),
    ("setfacl", "acl"),
    ("squashfuse", "squashfuse"),
    ("tar", "tar"),
    ("unsquashfs", "squashfs-tools"),
];

/// What only benchmarks run.
const BENCHMARK_PROGRAMS: &[(&str, &str)] = &[
    ("fuse-overlayfs", "fuse-overlayfs"),
    ("git", "git"),
    ("mksquashfs", "squashfs-tools"),
    ("squashfuse", "squashfuse"),
    ("tar", "tar"),
    ("time", "time"),
    ("unsquashfs", "squashfs-tools"),
];

/// What tests with real containers run.
const DOCKER_PROGRAMS: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("debootstrap", "debootstrap"),
    ("dockerd", "docker.io"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("tar", "tar"),
];

/// Installs what the build, the tests and the demo run.
pub(super) fn ensure() -> Result<()> {
    ensure_all(PROGRAMS)
}

/// Installs what the benchmarks run.
pub(super) fn ensure_for_benchmarks() -> Result<()> {
    ensure_all(BENCHMARK_PROGRAMS)
}

/// Installs what tests with real containers run.
pub(super) fn ensure_for_docker() -> Result<()> {
    ensure_all(DOCKER_PROGRAMS)
}

/// A Python that can make environments. Debian has that in a package of its own.
pub(super) fn python() -> Result<PathBuf> {
    let Some(python) = project::find_program("python3") else {
        bail!("python3 is missing");
    };
    let can = Command::new(&python)
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null())
        .status()?;
    if !can.success() {
        install(&["python3-venv"])?;
    }
    Ok(python)
}

/// Installs what is missing of some programs.
fn ensure_all(programs: &[(&'static str, &'static str)]) -> Result<()> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|&(_, package)| package).collect();
    packages.dedup();
    install(&packages)?;
    let missing = self::missing(programs);
    if !missing.is_empty() {
        bail!("{} still missing after the installation", names(&missing));
    }
    Ok(())
}

/// Installs packages by Debian's package manager when we are root; otherwise
/// says which are missing.
fn install(packages: &[&str]) -> Result<()> {
    let apt = project::find_program("apt-get");
    let Some(apt) = apt.filter(|_| rustix::process::geteuid().is_root()) else {
        bail!(
            "some programs are missing; install these packages, here by their names in Debian\n\n    \
             sudo apt-get install {}\n",
            packages.join(" ")
        );
    };
    let apt = |arguments: &[&str]| {
        process::run(
            Command::new(&apt)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(arguments),
        )
    };
    apt(&["update", "--quiet"])?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    apt(&[&install[..], packages].concat())
}

fn missing(programs: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    programs
        .iter()
        .copied()
        .filter(|(program, _)| project::find_program(program).is_none())
        .collect()
}

fn names(programs: &[(&str, &str)]) -> String {
    let names: Vec<_> = programs.iter().map(|&(program, _)| program).collect();
    names.join(", ")
}
