//! Names of extended attributes.

use rustix::io::Errno;

/// The attribute that holds the ACL of a file itself.
pub(super) const ACL_ACCESS: &[u8] = b"system.posix_acl_access";

/// The attribute that holds the ACL for what will be made in a directory.
pub(super) const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// What Linux has names for (`xattr(7)`), ACLs aside.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// What Linux says to names that no file can have.
pub(super) fn check(name: &[u8]) -> Result<(), Errno> {
    if name == ACL_ACCESS || name == ACL_DEFAULT {
        return Ok(());
    }
    match NAMESPACES.iter().find(|space| name.starts_with(space)) {
        Some(space) if name.len() == space.len() => Err(Errno::INVAL),
        Some(_) => Ok(()),
        None => Err(Errno::OPNOTSUPP),
    }
}
