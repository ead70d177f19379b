//! Extended attributes and ACLs.

use std::collections::BTreeMap;

use rustix::{fs::XattrFlags, io::Errno};

use super::{
    Cow,
    acl::Acl,
    inode::{Inode, Xattrs, mode},
};
use crate::xattr;

/// What all names and values of one file may take, in bytes. Every change of the
/// inode writes them all.
const MOST: usize = 256 << 10;

impl Cow {
    pub(super) fn xattr(&self, node: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        xattr::check(name)?;
        let state = self.tree();
        let value = match state.tree.inode(node) {
            Some(Inode {
                xattrs: Some(all), ..
            }) => all.get(name).cloned(),
            _ => {
                drop(state);
                self.lower_xattr(node, name)?
            }
        };
        value.ok_or(Errno::NODATA)
    }

    pub(super) fn xattrs(&self, node: u64) -> Result<Xattrs, Errno> {
        self.xattrs_of(node, &self.inode(node)?)
    }

    pub(super) fn xattr_of(
        &self,
        node: u64,
        inode: &Inode,
        name: &[u8],
    ) -> Result<Option<Vec<u8>>, Errno> {
        match &inode.xattrs {
            Some(all) => Ok(all.get(name).cloned()),
            None => self.lower_xattr(node, name),
        }
    }

    pub(super) fn xattrs_of(&self, node: u64, inode: &Inode) -> Result<Xattrs, Errno> {
        match &inode.xattrs {
            Some(all) => Ok(Xattrs::clone(all)),
            None => {
                let all = self.lower.xattrs(node)?.into_iter();
                Ok(all.map(|xattr| (xattr.name, xattr.value)).collect())
            }
        }
    }

    fn lower_xattr(&self, node: u64, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.lower.xattr(node, name)
    }

    pub(super) fn set_xattr(
        &self,
        node: u64,
        name: &[u8],
        value: &[u8],
        how: XattrFlags,
    ) -> Result<(), Errno> {
        xattr::check(name)?;
        let known = self.inode(node)?;
        let mut all = self.xattrs_of(node, &known)?;
        let there = all.contains_key(name);
        if how.contains(XattrFlags::CREATE) && there {
            return Err(Errno::EXIST);
        }
        if how.contains(XattrFlags::REPLACE) && !there {
            return Err(Errno::NODATA);
        }
        let mut permissions = None;
        if name == xattr::ACL_ACCESS {
            let acl = Acl::parse(value)?;
            permissions = Some(acl.mode());
            if acl.is_plain() {
                all.remove(name);
            } else {
                all.insert(name.to_vec(), value.to_vec());
            }
        } else if name == xattr::ACL_DEFAULT {
            if !known.is_directory() {
                return Err(Errno::ACCESS);
            }
            Acl::parse(value)?;
            all.insert(name.to_vec(), value.to_vec());
        } else {
            all.insert(name.to_vec(), value.to_vec());
        }
        let size: usize = all
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > MOST {
            return Err(Errno::NOSPC);
        }
        self.put_xattrs(node, &known, all, permissions)
    }

    pub(super) fn remove_xattr(&self, node: u64, name: &[u8]) -> Result<(), Errno> {
        xattr::check(name)?;
        let known = self.inode(node)?;
        let mut all = self.xattrs_of(node, &known)?;
        if all.remove(name).is_none() {
            return Err(Errno::NODATA);
        }
        self.put_xattrs(node, &known, all, None)
    }

    fn put_xattrs(
        &self,
        node: u64,
        known: &Inode,
        all: Xattrs,
        permissions: Option<u32>,
    ) -> Result<(), Errno> {
        let mut change = self.change();
        let now = change.now;
        let inode = change.inode(node, known);
        inode.ctime = now;
        inode.xattrs = Some(Box::new(all));
        if let Some(permissions) = permissions {
            inode.mode = inode.mode & !0o777 | permissions;
        }
        change.commit()
    }

    /// Mode and ACLs of something that is made in a directory: by the
    /// directory's default ACL or, without one, by the maker's umask.
    pub(super) fn inherit(
        &self,
        directory: u64,
        above: &Inode,
        wanted: u32,
        umask: u32,
    ) -> Result<(u32, Option<Box<Xattrs>>), Errno> {
        let default = match wanted & mode::TYPE {
            mode::SYMLINK => return Ok((wanted, Some(Box::default()))),
            _ => self.xattr_of(directory, above, xattr::ACL_DEFAULT)?,
        };
        let Some(default) = default else {
            return Ok((wanted & !(umask & 0o777), Some(Box::default())));
        };
        let mut xattrs = BTreeMap::new();
        let access = Acl::parse(&default)?.masked_by(wanted);
        let mode = wanted & !0o777 | access.mode();
        if !access.is_plain() {
            xattrs.insert(xattr::ACL_ACCESS.to_vec(), access.to_bytes());
        }
        if wanted & mode::TYPE == mode::DIRECTORY {
            xattrs.insert(xattr::ACL_DEFAULT.to_vec(), default);
        }
        Ok((mode, Some(Box::new(xattrs))))
    }
}
