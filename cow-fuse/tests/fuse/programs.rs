//! Real programs in a restored directory.

use std::{fs, path::Path, process::Command};

use crate::{
    harness::{assert_same, run, snapshot},
    mounts::{Cow, archive_of},
};

fn shell(directory: &Path, script: &str) {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]);
    for name in ["GIT_AUTHOR", "GIT_COMMITTER"] {
        command.env(format!("{name}_NAME"), "Test");
        command.env(format!("{name}_EMAIL"), "test@example.com");
    }
    run(command.current_dir(directory));
}

/// A repository with some history and a `node_modules`.
fn project() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    shell(
        directory.path(),
        "git init -q -b main .
        for i in $(seq 40); do mkdir -p src/$i; seq $((i * 50)) > src/$i/numbers.txt; done
        git add . && git commit -qm first
        seq 9 > src/1/more && git add . && git commit -qm second
        for i in $(seq 30); do
            mkdir -p node_modules/p$i/lib
            echo \"module.exports = $i\" > node_modules/p$i/lib/index.js
        done
        echo node_modules > .gitignore && git add . && git commit -qm ignore",
    );
    directory
}

#[test]
fn git() {
    let source = project();
    let mut cow = Cow::of(archive_of(source.path()));
    shell(
        &cow.path(),
        "test -z \"$(git status --porcelain)\"
        git switch -qc work
        echo changed >> src/3/numbers.txt
        git mv src/4 src/four
        rm -r src/5
        git add -A && git commit -qm work
        git switch -q main && test -d src/5 && git merge -q work && test ! -d src/5
        git gc -q --prune=now
        git fsck --strict
        git stash list
        test -z \"$(git status --porcelain)\"",
    );
    cow.remount();
    shell(
        &cow.path(),
        "git fsck --strict && test -z \"$(git status --porcelain)\" && git log --oneline | wc -l",
    );
}

#[test]
fn directories_renamed_as_package_managers_do() {
    let source = project();
    let cow = Cow::of(archive_of(source.path()));
    shell(
        &cow.path(),
        "mv node_modules/p1 node_modules/.p1-old
        mkdir node_modules/p1 && echo new > node_modules/p1/index.js
        rm -r node_modules/.p1-old
        mv node_modules .node_modules-old && mkdir node_modules
        mv .node_modules-old/p2 node_modules/
        rm -r .node_modules-old
        test \"$(cat node_modules/p2/lib/index.js)\" = 'module.exports = 2'
        test \"$(ls node_modules)\" = p2",
    );
}

#[test]
fn sqlite_with_a_write_ahead_log() {
    let source = tempfile::tempdir().unwrap();
    let make = "
import sqlite3
db = sqlite3.connect('data.db')
db.execute('create table t (k integer primary key, v text)')
db.executemany('insert into t (v) values (?)', [(str(n) * 50,) for n in range(2000)])
db.commit()
";
    run(Command::new("python3")
        .args(["-c", make])
        .current_dir(source.path()));
    let mut cow = Cow::of(archive_of(source.path()));
    let work = "
import sqlite3, threading
def connect():
    db = sqlite3.connect('data.db', timeout=60)
    assert db.execute('pragma journal_mode=wal').fetchone()[0] == 'wal'
    return db
def write(n):
    db = connect()
    for i in range(50):
        db.execute('insert into t (v) values (?)', (f'{n}-{i}',))
        db.commit()
threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
db = connect()
assert db.execute('select count(*) from t').fetchone()[0] == 2200
assert db.execute('pragma integrity_check').fetchone()[0] == 'ok'
";
    run(Command::new("python3")
        .args(["-c", work])
        .current_dir(cow.path()));
    cow.remount();
    let check = "
import sqlite3
db = sqlite3.connect('data.db')
assert db.execute('select count(*) from t').fetchone()[0] == 2200
assert db.execute('pragma integrity_check').fetchone()[0] == 'ok'
";
    run(Command::new("python3")
        .args(["-c", check])
        .current_dir(cow.path()));
}

#[test]
fn thirty_two_processes_at_once() {
    let source = project();
    let mut cow = Cow::of(archive_of(source.path()));
    let reference = tempfile::tempdir().unwrap();
    let copy = source.path().join(".");
    run(Command::new("cp").arg("-a").args([&copy, reference.path()]));
    let script = "
        for n in $(seq 32); do (
            cat src/$n/numbers.txt > /dev/null
            seq $n >> src/$n/numbers.txt
            cp -r src/$n copy-$n
            mv node_modules/p$(( (n - 1) % 30 + 1 ))/lib lib-$n 2> /dev/null || true
            for i in $(seq 20); do echo $i > shared-$n-$i; mv shared-$n-$i src/$n/; done
            for i in $(seq 2 20); do rm src/$n/shared-$n-$i; done
            ln src/$n/shared-$n-1 link-$n
            echo line >> common
        ) & done
        wait
        sort common > sorted && rm common
        rm -rf lib-31 lib-32 lib-1 lib-2 node_modules/p1 node_modules/p2";
    for directory in [&cow.path(), reference.path()] {
        shell(directory, script);
    }
    let strip = |directory: &Path| {
        let mut tree = snapshot(directory);
        tree.values_mut().for_each(|facts| facts.mtime = 0);
        tree
    };
    assert_same(&strip(reference.path()), &strip(&cow.path()));
    cow.remount();
    assert_same(&strip(reference.path()), &strip(&cow.path()));
}

#[test]
fn a_build_with_cargo() {
    let source = tempfile::tempdir().unwrap();
    shell(
        source.path(),
        "mkdir -p src && cat > Cargo.toml <<'END'
[package]
name = \"built\"
version = \"0.1.0\"
edition = \"2024\"
[workspace]
END
        echo 'fn main() { println!(\"one\"); }' > src/main.rs
        CARGO_TARGET_DIR=target cargo build --offline -q",
    );
    let cow = Cow::of(archive_of(source.path()));
    let merged = cow.path();
    shell(
        &merged,
        "sed -i s/one/two/ src/main.rs
        CARGO_TARGET_DIR=target cargo build --offline -q
        test \"$(target/debug/built)\" = two",
    );
    assert!(fs::exists(merged.join("target/debug/built")).unwrap());
}
