//! Noting what was archived, what changed and what was lost.

use std::{path::PathBuf, sync::atomic::Ordering};

use super::{Content, Placer};
use crate::{
    format::NO_XATTRS,
    report::{Change, ChangeKind, Unreadable},
    source::{XattrSet, to_path},
    tree::EntryId,
    writer::{
        Control, OnUnreadable,
        read::{Changed, FoundFile, Loss},
    },
};

impl Placer<'_, '_, '_> {
    pub(super) fn is_auditing(&self) -> bool {
        self.shared.auditing.load(Ordering::Relaxed)
    }

    pub(super) fn archived(&self, bytes: u64) {
        Control::add(&self.control.archived_files, 1);
        Control::add(&self.control.read_bytes, bytes);
    }

    pub(super) fn note_xattrs(&mut self, found: &FoundFile, set: &XattrSet) {
        if set.is_empty() {
            return;
        }
        let path = || to_path(&self.tree.entry_path(found.entry));
        let dropped = &mut self.placed.report.dropped_xattrs;
        let number = self.xattrs.add(set, path, dropped);
        if number != NO_XATTRS {
            self.placed.xattr_numbers.insert(found.node, number);
        }
    }

    pub(super) fn note_change(&mut self, found: &FoundFile, changed: Option<Changed>, size: u64) {
        if let Some(Changed { kind, metadata }) = changed {
            self.placed.counts.bytes = self.placed.counts.bytes - found.size + size;
            self.placed.changed.insert(found.node, (metadata, size));
            self.report_change(found.entry, kind);
        }
    }

    fn report_change(&mut self, entry: EntryId, kind: ChangeKind) {
        let path = self.path(entry);
        self.placed.report.changes.add(Change { path, kind });
    }

    pub(super) fn lost(&mut self, found: &FoundFile, loss: Loss) {
        let (node, entry) = (found.node, found.entry);
        let names = self.tree.links(node).map_or(1, <[EntryId]>::len);
        let counts = &mut self.placed.counts;
        counts.files -= names as u64;
        counts.bytes -= found.size;
        self.placed.contents[node.index()] = Content::Omitted;
        match loss {
            Loss::Vanished => self.report_change(entry, ChangeKind::Vanished),
            Loss::Retyped => self.report_change(entry, ChangeKind::Retyped),
            Loss::Unreadable(errno) => {
                let path = self.path(entry);
                let unreadable = Unreadable { path, errno };
                self.placed.report.unreadable.add(unreadable);
                if self.options.on_unreadable == OnUnreadable::Fail {
                    self.shared.auditing.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn path(&self, entry: EntryId) -> PathBuf {
        to_path(&self.tree.entry_path(entry))
    }
}
