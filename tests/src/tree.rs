//! Directories inside a sandbox, compared by content and metadata.

use crate::consumer::Sandbox;

/// Name, type, permissions, owner and modification time of a directory and of
/// everything below it, with size and number of links of files and targets of
/// symbolic links; then the content of all files; then how much that was.
const DIGEST: &str = r"
set -e
export LC_ALL=C
cd $TREE
find . \( -type f -printf '%P %y %m %U:%G %T@ %s %n\0' -o -printf '%P %y %m %U:%G %T@ %l\0' \) |
  sort -z | sha256sum
find . -type f -print0 | sort -z | xargs -0 -r sha256sum -b -- | sha256sum
find . -print0 | tr -dc '\0' | wc -c
";

/// What stands for `dir`, its content and its metadata. Equal digests mean
/// equal trees.
pub async fn digest(sandbox: &Sandbox, dir: &str) -> String {
    sandbox.run(&format!("TREE='{dir}'\n{DIGEST}")).await
}
