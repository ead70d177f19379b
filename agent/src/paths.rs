//! The half of directory checking that only the file system can answer.
//!
//! [`AllowedRoots`] looks at the text of a path. Here symbolic links are
//! resolved: a directory below an allowed root must also be there in truth.
//! A root may itself be a link (`/home` → `/usr/home`), so what is compared is
//! resolved on both sides.
//!
//! What is checked here is a path, and what it leads to may have been replaced a
//! moment later. So nothing is opened, mounted or renamed by the resolved path
//! but as [`place`] does: through no link at all.

use std::{
    io,
    path::{Path, PathBuf},
};

use sandbox_shared::{AllowedDir, AllowedRoots, Result, SandboxError};

pub mod place;

/// The real directory behind `dir`, to be backed up.
pub fn existing_dir(dir: &AllowedDir, roots: &AllowedRoots) -> Result<PathBuf> {
    let dir = dir.as_str();
    let real = std::fs::canonicalize(dir).map_err(|error| refused(dir, &error))?;
    if !real.is_dir() {
        return Err(SandboxError::invalid_config(format!(
            "dir {dir} is not a directory"
        )));
    }
    within(dir, &real, roots)?;
    Ok(real)
}

/// The real path behind `dir`, to be restored to: it need not exist, but what
/// exists of it must be a directory below an allowed root.
pub fn target_dir(dir: &AllowedDir, roots: &AllowedRoots) -> Result<PathBuf> {
    let dir = dir.as_str();
    let real = resolve_target(Path::new(dir)).map_err(|error| refused(dir, &error))?;
    within(dir, &real, roots)?;
    Ok(real)
}

/// `path` with the symbolic links of its nearest existing ancestor resolved.
pub fn resolve_target(path: &Path) -> io::Result<PathBuf> {
    let mut existing = path;
    loop {
        match std::fs::symlink_metadata(existing) {
            Ok(_) => break,
            // A mount whose FUSE daemon has died: no link, but a directory.
            Err(error) if error.kind() == io::ErrorKind::NotConnected && existing == path => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(error);
                };
                return Ok(parent.canonicalize()?.join(name));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                existing = existing.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
    // Also refuses a link that leads nowhere: what it points to is unknown.
    let real = std::fs::canonicalize(existing)?;
    if !real.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(path
        .strip_prefix(existing)
        .ok()
        .filter(|rest| !rest.as_os_str().is_empty())
        .map_or_else(|| real.clone(), |rest| real.join(rest)))
}

/// Where the roots are in truth.
pub fn real_roots(roots: &AllowedRoots) -> impl Iterator<Item = PathBuf> {
    roots
        .iter()
        // A root that does not exist yet is what its text says.
        .map(|root| std::fs::canonicalize(root).unwrap_or_else(|_| root.into()))
        .filter(|root| root != Path::new("/"))
}

fn within(dir: &str, real: &Path, roots: &AllowedRoots) -> Result<()> {
    let allowed = real_roots(roots).any(|root| real.starts_with(root));
    if allowed {
        return Ok(());
    }
    Err(SandboxError::invalid_config(format!(
        "dir {dir} leads through a symbolic link to {}, which is not below an allowed root",
        real.display()
    ))
    .with("dir", dir))
}

fn refused(dir: &str, error: &io::Error) -> SandboxError {
    SandboxError::invalid_config(format!("dir {dir} cannot be used: {error}")).with("dir", dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use sandbox_shared::ErrorCode;

    use super::*;

    /// A directory with `root`, which is allowed, and `outside`, which is not.
    fn playground() -> (tempfile::TempDir, AllowedRoots) {
        let base = tempfile::tempdir_in("/opt").unwrap();
        for name in ["root/inside", "outside"] {
            std::fs::create_dir_all(base.path().join(name)).unwrap();
        }
        let roots = AllowedRoots::with_extra(base.path().join("root").to_str().unwrap()).unwrap();
        (base, roots)
    }

    #[test]
    fn a_link_that_leads_out_is_refused() {
        let (base, roots) = playground();
        let link = base.path().join("root/link");
        symlink(base.path().join("outside"), &link).unwrap();
        for path in [link.clone(), link.join("deeper")] {
            let path = path.to_str().unwrap();
            let error = target_dir(&roots.check(path).unwrap(), &roots).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidBackupConfig, "{path}");
            assert!(error.message.contains("symbolic link"), "{error}");
        }
        let error =
            existing_dir(&roots.check(link.to_str().unwrap()).unwrap(), &roots).unwrap_err();
        assert!(error.message.contains("symbolic link"), "{error}");
    }

    #[test]
    fn a_link_that_stays_inside_is_followed() {
        let (base, roots) = playground();
        let link = base.path().join("root/link");
        symlink("inside", &link).unwrap();
        let real = base.path().join("root/inside").canonicalize().unwrap();
        assert_eq!(
            existing_dir(&roots.check(link.to_str().unwrap()).unwrap(), &roots).unwrap(),
            real
        );
        let below = link.join("a/b");
        assert_eq!(
            target_dir(&roots.check(below.to_str().unwrap()).unwrap(), &roots).unwrap(),
            real.join("a/b")
        );
    }

    #[test]
    fn a_root_may_be_a_link() {
        let (base, _) = playground();
        let alias = base.path().join("alias");
        symlink(base.path().join("outside"), &alias).unwrap();
        let roots = AllowedRoots::with_extra(alias.to_str().unwrap()).unwrap();
        assert!(existing_dir(&roots.check(alias.to_str().unwrap()).unwrap(), &roots).is_ok());
        assert!(
            target_dir(
                &roots.check(alias.join("new").to_str().unwrap()).unwrap(),
                &roots
            )
            .is_ok()
        );
    }

    #[test]
    fn a_file_or_a_dangling_link_is_no_target() {
        let (base, roots) = playground();
        let file = base.path().join("root/file");
        std::fs::write(&file, "x").unwrap();
        let dangling = base.path().join("root/dangling");
        symlink("nowhere", &dangling).unwrap();
        for path in [&file, &file.join("below"), &dangling] {
            let error =
                target_dir(&roots.check(path.to_str().unwrap()).unwrap(), &roots).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidBackupConfig, "{path:?}");
        }
    }
}
