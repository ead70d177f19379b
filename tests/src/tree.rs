//! Directories inside a sandbox, compared by content and metadata.

use crate::consumer::Sandbox;

/// Modification time in whole seconds, which is what SquashFS keeps, name, type,
/// permissions and owner of a directory and everything below it, with size and
/// number of links of files and targets of symbolic links; then the content of
/// all files; then how much that was. The beginning of the list is there to be
/// read when two trees differ.
const DIGEST: &str = r"
set -e
export LC_ALL=C
cd $TREE
list=$(mktemp -p /run)
find . \( -type f -printf '%T@ %P %y %m %U:%G %s %n\0' \
    -o -printf '%T@ %P %y %m %U:%G %l\0' \) |
  sed -z 's/^\([0-9]*\)\.[0-9]*/\1/' | sort -z > $list
sha256sum < $list
find . -type f -print0 | sort -z | xargs -0 -r sha256sum -b -- | sha256sum
tr -dc '\0' < $list | wc -c
tr '\0' '\n' < $list | head -n 20
rm $list
";

/// What stands for `dir`, its content and its metadata. Equal digests mean
/// equal trees.
pub async fn digest(sandbox: &Sandbox, dir: &str) -> String {
    sandbox.run(&format!("TREE='{dir}'\n{DIGEST}")).await
}
