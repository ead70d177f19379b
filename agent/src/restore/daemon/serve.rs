//! A daemon from inside: it opens the archive of its slot, mounts the file
//! system that the strategy needs of it, and serves until that is unmounted.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use cow_fuse::Session;
use sandbox_shared::{
    ErrorCode, SandboxError,
    methods::{self, Failure},
};
use squashfs::{
    image::ArchiveError,
    reader::{self, ReadAt},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::{super::strategy, Address, Answer, MountError, PAUSE, Request, Slot, line};
use crate::{
    config::store_timeout_from_env,
    transfer::{Store, lazy::LazyArchive},
};

/// The largest tables, in bytes, that are fetched before anybody asks.
const PREFETCH: u64 = 64 << 20;

/// Serves the archive of the slot at `dir`, until its file system is unmounted
/// or this process is killed. Standard input holds the address.
pub fn run(dir: &Path) -> Result<(), SandboxError> {
    // Signals for the process group of the agent are not for its daemons.
    let _ = rustix::process::setsid();
    let mut address = String::new();
    io::stdin().read_line(&mut address).map_err(internal)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(internal)?;
    let served = runtime.block_on(async {
        let opened = open(dir, &address).await.map_err(failed);
        let answer = match &opened {
            Ok(_) => Answer::Ready,
            Err(error) => Answer::Failed(error.clone()),
        };
        // Whoever started it may be gone already, and then so will this be.
        let _ = io::stdout().write_all(&line(&answer).map_err(internal)?);
        let Serving {
            archive,
            session,
            listener,
        } = opened?;
        archive.pull();
        tokio::spawn(listen(archive, listener));
        tokio::task::spawn_blocking(move || session.wait())
            .await
            .map_err(internal)?
            .map_err(internal)
    });
    // Nobody waits any more for what is still on its way.
    runtime.shutdown_background();
    served
}

/// All that a daemon does is part of a restore.
fn failed(error: MountError) -> SandboxError {
    error.of(&methods::RESTORE_BACKUP)
}

fn internal(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}

/// An archive that is being served.
struct Serving {
    archive: Arc<LazyArchive>,
    session: Session,
    listener: UnixListener,
}

async fn open(dir: &Path, address: &str) -> Result<Serving, MountError> {
    let address: Option<Address> = serde_json::from_str(address).map_err(io::Error::from)?;
    let address = address.as_ref().map(Address::read).transpose()?;
    let slot = Slot::load(dir)?;
    let (store, path) = (Store::new(store_timeout_from_env()?)?, slot.archive());
    let archive = LazyArchive::open(store, slot.description(), address, &path).await?;
    let archive = Arc::new(archive);
    let source = Arc::clone(&archive);
    let mounting = tokio::task::spawn_blocking(move || {
        prefetch_tables(&source)?;
        Ok((slot.socket(), strategy::of(&slot).serve(&slot, source)?))
    });
    let (socket, session) = mounting
        .await
        .map_err(io::Error::other)
        .map_err(MountError::from)
        .flatten()?;
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        // It was of an earlier daemon of this slot, or there was none.
        _ => {}
    }
    Ok(Serving {
        listener: UnixListener::bind(socket)?,
        archive,
        session,
    })
}

/// Everybody who looks into a directory needs the tables, which lie together.
fn prefetch_tables(archive: &LazyArchive) -> Result<(), MountError> {
    let superblock = reader::read_superblock(archive).map_err(ArchiveError::from)?;
    let tables = superblock.inode_table.get();
    if archive.size().saturating_sub(tables) <= PREFETCH {
        archive.prefetch_from(tables);
    }
    Ok(())
}

/// Answers questions for as long as the archive is served.
async fn listen(archive: Arc<LazyArchive>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(Arc::clone(&archive), stream))),
            // It is usually for want of file descriptors, and not over at once.
            Err(error) => {
                crate::log::warn(format_args!("cannot be asked: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(archive: Arc<LazyArchive>, stream: UnixStream) -> io::Result<()> {
    let (questions, mut answers) = stream.into_split();
    let mut questions = BufReader::new(questions).lines();
    while let Some(question) = questions.next_line().await? {
        let answer = match serde_json::from_str(&question)? {
            Request::Progress => Answer::Progress(archive.progress()),
            Request::Address(address) => match address.read().map_err(MountError::from) {
                Ok(address) => {
                    archive.set_address(address);
                    Answer::Ready
                }
                Err(error) => Answer::Failed(failed(error)),
            },
        };
        answers.write_all(&line(&answer)?).await?;
    }
    Ok(())
}
