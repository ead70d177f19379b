//! Programs of the operating system.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{process, project};

/// A program that must be there, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 14] = [
    ("bwrap", "bubblewrap"),
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("fuse-overlayfs", "fuse-overlayfs"),
    ("fusermount3", "fuse3"),
    ("getfattr", "attr"),
    ("git", "git"),
    ("mksquashfs", "squashfs-tools"),
    ("mount", "mount"),
    ("musl-gcc", "musl-tools"),
    ("setfacl", "acl"),
    ("squashfuse", "squashfuse"),
    ("tar", "tar"),
    ("unsquashfs", "squashfs-tools"),
];

/// Installs missing programs by Debian's package manager when we are root;
/// otherwise says what is missing.
pub(super) fn ensure() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = project::find_program("apt-get");
    let mut packages: Vec<_> = missing.iter().map(|&(_, package)| package).collect();
    packages.dedup();
    match apt {
        Some(apt) if rustix::process::geteuid().is_root() => {
            let apt = |arguments: &[&str]| {
                process::run(
                    Command::new(&apt)
                        .env("DEBIAN_FRONTEND", "noninteractive")
                        .args(arguments),
                )
            };
            apt(&["update", "--quiet"])?;
            let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
            apt(&[&install[..], &packages].concat())?;
        }
        Some(_) => bail!(
            "some programs are missing; install them with\n\n    sudo apt-get install {}\n",
            packages.join(" ")
        ),
        None => bail!(
            "some programs are missing; install what provides {}",
            names(&missing)
        ),
    }
    let missing = self::missing();
    if !missing.is_empty() {
        bail!("{} still missing after the installation", names(&missing));
    }
    Ok(())
}

fn missing() -> Vec<(&'static str, &'static str)> {
    PROGRAMS
        .into_iter()
        .filter(|(program, _)| project::find_program(program).is_none())
        .collect()
}

fn names(programs: &[(&str, &str)]) -> String {
    let names: Vec<_> = programs.iter().map(|&(program, _)| program).collect();
    names.join(", ")
}
