//! The images of an engine that reaches no registry.
//!
//! The base that the Dockerfile names is made by debootstrap from the packages
//! that this machine's own package manager has, once, and kept in the tool
//! cache. The rest are single programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::Engine;
use crate::artifacts;
use sandbox_toolbox::{process, project};

/// The agent, and nothing else: what the Dockerfile's stage `agent` makes.
pub const AGENT_IMAGE: &str = "sandbox-agent:latest";
/// Stands in for Wrangler's egress sidecar.
pub const EGRESS_IMAGE: &str = "sandbox-egress-stand-in:latest";
/// One static program that is a shell and its tools, and no libraries.
pub const BUSYBOX_IMAGE: &str = "sandbox-busybox:latest";

/// What a base image does without, as Debian's slim images do.
const LEFT_OUT: [&str; 5] = [
    "./usr/share/doc/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
];

impl Engine {
    /// Makes the images that are missing, and those that hold `agent` and the
    /// egress stand-in.
    pub fn prepare_images(&self, agent: &Path) -> Result<()> {
        let base = dockerfile_base()?;
        if !self.has_image(&base) {
            let archive = debian(&base)?;
            self.docker(&["import", &archive.to_string_lossy(), &base])?;
        }
        self.single_program(AGENT_IMAGE, agent, "/usr/local/bin/sandbox-agent", "")?;
        let egress = artifacts::egress_stand_in()?;
        let entrypoint = "ENTRYPOINT [\"/egress\"]";
        self.single_program(EGRESS_IMAGE, &egress, "/egress", entrypoint)?;
        let busybox = project::find_program("busybox").context("busybox is missing")?;
        let more = "RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
                    RUN mkdir -m 1777 /tmp";
        self.single_program(BUSYBOX_IMAGE, &busybox, "/bin/busybox", more)
    }

    /// Builds the project's own Dockerfile with the prebuilt agent.
    pub fn build_sandbox(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let agent = format!("AGENT={AGENT_IMAGE}");
        let mut build = self.client();
        build.args(["build", "--quiet", "--tag", name, "--build-arg", &agent]);
        for argument in arguments {
            build.args(["--build-arg", argument]);
        }
        process::run(build.arg(project::root()).stdout(Stdio::null()))
    }

    fn has_image(&self, name: &str) -> bool {
        self.client()
            .args(["image", "inspect", name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// An image of one file, with more lines of its Dockerfile.
    fn single_program(&self, name: &str, program: &Path, place: &str, more: &str) -> Result<()> {
        let context = self.state.join("context");
        fs::create_dir_all(&context)?;
        fs::copy(program, context.join("program"))?;
        let dockerfile = format!("FROM scratch\nCOPY program {place}\n{more}\n");
        fs::write(context.join("Dockerfile"), dockerfile)?;
        let mut build = self.client();
        build.args(["build", "--quiet", "--tag", name]);
        process::run(build.arg(&context).stdout(Stdio::null()))
    }
}

/// The image that the Dockerfile begins with unless told otherwise.
fn dockerfile_base() -> Result<String> {
    let dockerfile = fs::read_to_string(project::root().join("Dockerfile"))?;
    let base = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("ARG BASE="));
    Ok(base.context("the Dockerfile has no ARG BASE")?.to_owned())
}

/// An archive of the root of a Debian image, `debian:SUITE-slim`.
fn debian(image: &str) -> Result<PathBuf> {
    let suite = image
        .strip_prefix("debian:")
        .and_then(|tag| tag.strip_suffix("-slim"))
        .with_context(|| format!("{image} cannot be made here"))?;
    let cache = project::tool_cache()?;
    let archive = cache.join(format!("debian-{suite}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    let root = cache.join(format!("debian-{suite}"));
    remove(&root)?;
    process::run(
        // What it mounts goes with the namespace.
        Command::new("unshare")
            .args(["--mount", "debootstrap", "--variant=minbase", suite])
            .arg(&root)
            .arg(debian_mirror()?)
            .stdout(Stdio::null()),
    )?;
    let unfinished = archive.with_extension("part");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&unfinished);
    for left_out in LEFT_OUT {
        tar.arg(format!("--exclude={left_out}"));
    }
    process::run(
        tar.args(["--numeric-owner", "--directory"])
            .arg(&root)
            .arg("."),
    )?;
    fs::rename(unfinished, &archive)?;
    remove(&root)?;
    Ok(archive)
}

/// Where this machine's package manager gets Debian's packages.
fn debian_mirror() -> Result<String> {
    let targets = || {
        process::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)",
            "Created-By: Packages",
        ]))
    };
    let mirror = |targets: &str| {
        let mirror = |line: &str| Some(line.strip_prefix("Debian Debian main ")?.to_owned());
        targets.lines().find_map(mirror)
    };
    if let Some(mirror) = mirror(&targets()?) {
        return Ok(mirror);
    }
    process::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    match mirror(&targets()?) {
        Some(mirror) => Ok(mirror),
        None => bail!("the package manager has no source of Debian's packages"),
    }
}

fn remove(root: &Path) -> Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", root.display()))
        }
        _ => Ok(()),
    }
}
