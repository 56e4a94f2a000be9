//! Snapshots for clients, in files without a name.
//!
//! A snapshot under way keeps old states for its sake, and a client takes it at its own pace, or not at all. So it is written at the pace
//! of the disk and sent from there. Its file loses the name before anything is in it: the system takes back what it takes of the disk when
//! the last client has it or is gone, or when the process ends, however that comes.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::persistence::{Contents, Parcel, Recipient};

use crate::snapshot::{Occasion, Report, SaveError, write, write_head};
use crate::vfs::{Vfs, VfsRead};

/// A snapshot for some clients.
struct Packing<'r> {
    state: &'static State,
    vfs: &'r Arc<dyn Vfs>,
    recipients: &'r [Box<dyn Recipient>],
    /// The file, once for each of them: each reads on from where it is.
    files: RefCell<Vec<Box<dyn VfsRead>>>,
}

impl Occasion for Packing<'_> {
    fn is_base(&self) -> bool {
        false
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn is_cancelled(&self) -> bool {
        let is_leaving = self.state.persistence.is_leaving.load(Ordering::Acquire);
        is_leaving || self.recipients.iter().all(|recipient| recipient.is_gone())
    }

    fn at_moment(&self) {}

    fn after_moment(&self) -> io::Result<()> {
        Ok(())
    }

    fn opened(&self, path: &Path) -> io::Result<()> {
        let files = self.recipients.iter().map(|_| self.vfs.open(path));
        *self.files.borrow_mut() = files.collect::<io::Result<_>>()?;
        self.vfs.remove(path)
    }
}

/// Makes a snapshot, once, for all of these clients.
pub(crate) fn pack(
    state: &'static State,
    vfs: &Arc<dyn Vfs>,
    contents: Contents,
    recipients: &[Box<dyn Recipient>],
) -> Result<(Report, Vec<Parcel>), SaveError> {
    let path = place(state);
    let packing = Packing { state, vfs, recipients, files: RefCell::default() };
    let written = match contents {
        Contents::All => write(state, vfs, &path, &packing),
        Contents::Functions => write_head(state, vfs, &path, state.scripts.libraries(), &packing),
        Contents::Nothing => write_head(state, vfs, &path, Arc::default(), &packing),
    };
    let ended = written.and_then(|(report, mut writer)| {
        let bytes = writer.end()?;
        Ok(Report { bytes, ..report })
    });
    // It may have failed while it still had its name.
    let report = ended.inspect_err(|_| drop(vfs.remove(&path)))?;
    let (len, lsn) = (report.bytes, report.lsn);
    let files = packing.files.take().into_iter();
    Ok((report, files.map(|file| Parcel { file, len, lsn }).collect()))
}

/// The name that the file has for a moment.
pub(crate) fn place(state: &State) -> PathBuf {
    let config = state.config.load();
    let name = format!("temp-sync-{}.rdb", std::process::id());
    PathBuf::from(config.text(const { id("dir") })).join(name)
}
