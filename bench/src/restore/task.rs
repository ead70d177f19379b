//! What is done in a restored directory.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};
use sandbox_toolbox::process;
use serde::Serialize;

/// What is done in a restored directory, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Task {
    FirstFile,
    ColdWalk,
    WarmWalk,
    ColdRead,
    WarmRead,
    SmallWrites,
    LargeWrite,
    GitStatus,
    GitStatusAgain,
}

impl Task {
    pub(super) const ALL: [Self; 9] = [
        Self::FirstFile,
        Self::ColdWalk,
        Self::WarmWalk,
        Self::ColdRead,
        Self::WarmRead,
        Self::SmallWrites,
        Self::LargeWrite,
        Self::GitStatus,
        Self::GitStatusAgain,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::FirstFile => "restore and read one file",
            Self::ColdWalk => "walk, cold (`find -size`)",
            Self::WarmWalk => "walk, warm",
            Self::ColdRead => "read everything, cold (`tar`)",
            Self::WarmRead => "read everything, warm",
            Self::SmallWrites => "write 2,000 files of 1 KiB",
            Self::LargeWrite => "write 300 MB, fsync",
            Self::GitStatus => "`git status`, the first",
            Self::GitStatusAgain => "`git status` again",
        }
    }

    pub(super) fn is_cold(self) -> bool {
        matches!(self, Self::ColdWalk | Self::ColdRead)
    }

    pub(super) fn run(self, directory: &Path) -> Result<()> {
        match self {
            Self::FirstFile => bail!("timed with the restore"),
            Self::ColdWalk | Self::WarmWalk => quiet(
                Command::new("find")
                    .arg(directory)
                    .args(["-size", "+1000G"]),
            ),
            // GNU tar does not read what it would write to /dev/null.
            Self::ColdRead | Self::WarmRead => quiet(
                Command::new("sh")
                    .args(["-c", "tar -cf - . | cat > /dev/null"])
                    .current_dir(directory),
            ),
            Self::SmallWrites => {
                let new = directory.join("written");
                fs::create_dir(&new)?;
                for number in 0..2000 {
                    fs::write(new.join(number.to_string()), [b'x'; 1024])?;
                }
                Ok(())
            }
            Self::LargeWrite => {
                let mut file = File::create(directory.join("written/large"))?;
                let piece = vec![b'x'; 1_000_000];
                for _ in 0..300 {
                    file.write_all(&piece)?;
                }
                Ok(file.sync_all()?)
            }
            Self::GitStatus | Self::GitStatusAgain => quiet(
                Command::new("git")
                    .args(["status", "--porcelain"])
                    .current_dir(directory),
            ),
        }
    }
}

pub(super) fn quiet(command: &mut Command) -> Result<()> {
    process::run(command.stdout(Stdio::null()))
}
