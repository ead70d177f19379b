//! `put`, `get` and `ls`.

use std::{
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::ExitCode,
};

use comfy_table::CellAlignment::{Left, Right};
use reqwest::{Body, Response};
use sandbox_shared::files::{FileOperationResult, FileType, ListFiles, ListFilesResult};
use tokio_util::io::ReaderStream;

use super::{Context, Done};
use crate::{
    api::{Answer, broken},
    failure::Failure,
    output::{self, age_of, bytes, printable},
};

/// What stands for standard input.
const STDIN: &str = "-";
/// Of a new file, before the umask.
const NEW_FILE_MODE: u32 = 0o666;

/// Writes a file into the sandbox.
pub(super) async fn put(context: &Context, local: &Path, remote: &str) -> Done {
    let content = if local == Path::new(STDIN) {
        Body::wrap_stream(ReaderStream::new(tokio::io::stdin()))
    } else {
        let file = tokio::fs::File::open(local).await;
        file.map_err(Failure::local(local.to_string_lossy()))?
            .into()
    };
    let answer: Answer<FileOperationResult> = context.api.write_file(remote, content).await?;
    context.say(&answer, |result| {
        format!("wrote {}\n", printable(&result.path))
    })
}

/// Reads a file of the sandbox. A file here is replaced when all of it has come.
pub(super) async fn get(context: &Context, remote: &str, local: Option<&Path>) -> Done {
    let response = context.api.read_file(remote).await?;
    let Some(local) = local else {
        copy(response, &mut io::stdout().lock(), "standard output").await?;
        return Ok(ExitCode::SUCCESS);
    };
    let what = local.to_string_lossy();
    let failed = || Failure::local(&*what);
    let path = std::path::absolute(local).map_err(failed())?;
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(path.parent().unwrap_or(Path::new("/")))
        .map_err(failed())?;
    copy(response, &mut file, &what).await?;
    file.persist(&path).map_err(|error| failed()(error.error))?;
    Ok(ExitCode::SUCCESS)
}

async fn copy(mut from: Response, to: &mut impl Write, what: &str) -> Result<(), Failure> {
    while let Some(chunk) = from.chunk().await.map_err(broken)? {
        to.write_all(&chunk).map_err(Failure::local(what))?;
    }
    to.flush().map_err(Failure::local(what))
}

/// Lists a directory of the sandbox.
pub(super) async fn ls(context: &Context, request: &ListFiles) -> Done {
    let answer: Answer<ListFilesResult> = context.api.get(&["list"], request).await?;
    context.say(&answer, |result| {
        let header = [
            ("MODE", Left),
            ("SIZE", Right),
            ("CHANGED", Left),
            ("NAME", Left),
        ];
        let rows = result.files.iter().map(|file| {
            let mark = match file.kind {
                FileType::File => "",
                FileType::Directory => "/",
                FileType::Symlink => "@",
                FileType::Other => "?",
            };
            [
                file.mode.clone(),
                bytes(file.size),
                age_of(&file.modified_at),
                printable(&file.relative_path) + mark,
            ]
        });
        output::table(header, rows)
    })
}
