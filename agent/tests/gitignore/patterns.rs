//! What patterns match: byte for byte what they match for git.

use std::{collections::BTreeSet, fs, path::PathBuf};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{TestError, TestRunner},
};
use sandbox_agent::scan::{ScanError, Selection, Source};
use tempfile::TempDir;

use crate::git::*;

/// How many files of patterns git is asked about at once.
const BATCH: usize = 64;

#[rustfmt::skip]
/// What is matched: files, and directories with a slash in the end.
const NAMES: &[&[u8]] = &[
    b"a", b"b", b"aa", b"ba", b"abc", b"acb", b"A", b"Z", b"1", b"x", b"xb", b".a", b"~",
    b"-", b"]", b"[", b"^", b"!", b"\\", b"a]", b"a-", b"a[", b"[a]", b"[a", b"a\\", b"\\a", b"a]b",
    b"a*", b"*", b"?", b"a?b", b":", b"[:", b"a:", b":]", b"#a", b"!a",
    b"{a,b}", b"a{}", b"{}", b"a,b", b"a.py", b"a.py{}",
    b" ", b"a ", b"a  ", b" a", b"\t", b"a\t", b"\n", b"\r", b"a\r", b"\x0b", b"\x01", b"\x7f",
    b"\xc3\xa9", b"\xff", b"a\xff", b"\xe9b", b"\x80",
    b"c/", b"c/a", b"c/b", b"c/ab", b"c/a]", b"c/-", b"c/x", b"c/[", b"c/ ", b"c/\\", b"c/\xe9",
    b"c/d/", b"c/d/a", b"c/d/b", b"c/d/ab", b"c/d/e/", b"c/d/e/b",
    b"ab/", b"ab/a", b"ab/b", b"ab/ab/", b"ab/ab/ab", b"ax/", b"ax/b", b"ax/y/", b"ax/y/b",
];

/// A repository with the same names in each of some directories.
struct Ground {
    root: TempDir,
    names: Vec<PathBuf>,
}

impl Ground {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        git(root.path(), &["init", "--quiet"]);
        for number in 0..BATCH {
            for name in NAMES {
                let at = root.path().join(directory(number)).join(path(name));
                if name.ends_with(b"/") {
                    fs::create_dir_all(at).unwrap();
                } else {
                    fs::create_dir_all(at.parent().unwrap()).unwrap();
                    fs::write(at, "").unwrap();
                }
            }
        }
        let names = NAMES.iter().map(|name| path(name).components().collect());
        Self {
            root,
            names: names.collect(),
        }
    }

    /// For each of the files of patterns, the names that git leaves out.
    fn by_git(&self, files: &[Vec<u8>]) -> Vec<BTreeSet<PathBuf>> {
        let mut paths = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let at = directory(number);
            fs::write(self.root.path().join(&at).join(".gitignore"), file).unwrap();
            paths.extend(self.names.iter().map(|name| PathBuf::from(&at).join(name)));
        }
        for number in files.len()..BATCH {
            let _ = fs::remove_file(self.root.path().join(directory(number)).join(".gitignore"));
        }
        let ignored = ignored(self.root.path(), &paths);
        self.by_directory(files.len(), |path| ignored.contains(path))
    }

    /// For each of the files of patterns that git was asked about, the names that
    /// `gitignore` leaves out.
    fn by_scan(&self, count: usize) -> Vec<BTreeSet<PathBuf>> {
        let scanned = scan_by_git(self.root.path());
        self.by_directory(count, |path| !scanned.included.contains(path))
    }

    /// The names that `excludes` leaves out with these patterns, but for those
    /// that it refuses.
    fn by_excludes(&self, mut patterns: Vec<String>) -> BTreeSet<PathBuf> {
        let directory = self.root.path().join(directory(0));
        loop {
            let selection = Selection {
                excludes: patterns.clone(),
                ..Selection::default()
            };
            match scan(Source::open(&directory).unwrap(), &selection) {
                Ok(scanned) => {
                    let left_out = |name: &&PathBuf| !scanned.included.contains(*name);
                    return self.names.iter().filter(left_out).cloned().collect();
                }
                Err(ScanError::Pattern { index, .. }) => drop(patterns.remove(index)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn by_directory(
        &self,
        count: usize,
        is_out: impl Fn(&PathBuf) -> bool,
    ) -> Vec<BTreeSet<PathBuf>> {
        let out_of = |number| {
            let names = self.names.iter();
            names
                .filter(|name| is_out(&PathBuf::from(directory(number)).join(name)))
                .cloned()
                .collect()
        };
        (0..count).map(out_of).collect()
    }
}

fn directory(number: usize) -> String {
    format!("{number:02}")
}

/// Compares what git leaves out with what we do, and says where they differ.
fn differences(ground: &Ground, files: &[Vec<u8>]) -> Vec<String> {
    let mut differences = Vec::new();
    let by_git = ground.by_git(files);
    let by_scan = ground.by_scan(files.len());
    for ((file, by_git), by_scan) in files.iter().zip(by_git).zip(by_scan) {
        let mut compare = |what, ours: BTreeSet<PathBuf>| {
            let differ: Vec<_> = by_git.symmetric_difference(&ours).collect();
            if !differ.is_empty() {
                let file = file.escape_ascii();
                differences.push(format!("{what}: \"{file}\" is not git's for {differ:?}"));
            }
        };
        compare("gitignore", by_scan);
        // An option is text, and has neither NUL nor line ends.
        let text = str::from_utf8(file).ok();
        if let Some(lines) = text.filter(|text| !text.contains(['\r', '\0', '\u{feff}'])) {
            let patterns = lines.split('\n').map(str::to_owned).collect();
            compare("excludes", ground.by_excludes(patterns));
        }
    }
    differences
}

#[rustfmt::skip]
/// Every kind of pattern that is known to be matched otherwise elsewhere.
const KINDS: &[&[u8]] = &[
    // Braces are themselves.
    b"*.py{}", b"{a,b}", b"a{", b"}", b"a.{py,js}",
    // Classes: names, negation, ranges, `]` and `-` as members, escapes.
    b"[[:alpha:]]", b"[[:upper:][:digit:]]", b"[![:alnum:]]", b"[^a]", b"[!a-z]", b"[]]", b"[]-]",
    b"[]a]", b"[!]a]", b"a[-]", b"[a-]", b"[-a]", b"[\\]]", b"[\\a]", b"[a\\-z]", b"[z-a]", b"[z-ab]",
    b"[a-c-z]", b"[\\[-\\]]", b"[[-]]", b"[+--]", b"[[:space:]]", b"[[:punct:]]", b"[[:cntrl:]]", b"[[:print:]]",
    b"[[:graph:]]", b"[[:blank:]]", b"[[:xdigit:]]", b"[[:lower:]]",
    // What looks like the name of a class.
    b"[[:nope:]]", b"[![:nope:]]", b"[[:alpha]", b"[[:alpha:]", b"[[:]", b"[[::]]", b"[[:]*b", b"[[:a]*b", b"[[:a]?", b"[a[:]b]",
    b"[[.a.]]", b"[[=a=]]", b"[:alpha:]", b"[[:ALPHA:]]",
    // A `[` without an end, and escapes without one.
    b"[", b"a[", b"[a", b"[!", b"[]", b"[^]", b"*[", b"[a\\]", b"a\\", b"\\", b"*\\", b"a[b/c",
    // A class does not match a slash, and does not hide one.
    b"c[/]a", b"c[^a]a", b"c?a", b"c[!-~]a", b"c*a", b"c[.-0]a",
    // Stars in odd places.
    b"**", b"***", b"a**", b"**b", b"a**b", b"a**/b", b"ax**/b", b"c**/b", b"**/b", b"**/**/b", b"c/**", b"/**", b"**/", b"c/**/",
    b"c/**/b", b"/**/b", b"c**", b"c/**b", b"c/a**", b"**a/b", b"*/**/b", b"***/b", b"c/***/b", b"c/**/**/b", b"c/*/b", b"*/b",
    b"c/**\\/b", b"**\\/b", b"?**/b", b"a*/**", b"c/d**/b", b"/a**/b", b"a**/*", b"**/*", b"c/d/**/e", b"*/*/*/b",
    // Slashes: where a pattern holds, and for what.
    b"/a", b"a/", b"c/", b"/c/", b"c/a", b"/c/a", b"d/", b"d/a", b"//a", b"c//a", b"/", b"//", b"c/d/", b"./a", b"c/../a", b"\\/a", b"c\\/a",
    // Escapes, comments, negation.
    b"\\a", b"\\\\", b"\\*", b"\\?", b"\\[a]", b"\\#a", b"\\!a", b"#a", b"!a", b"!!a", b"*\n!a", b"*\n!/c/\n!c/a", b"c\n!c/a",
    // Spaces, tabs, line ends, NUL, a byte order mark.
    b"a ", b"a\\ ", b"a \\ ", b"a\\  ", b" ", b"\\ ", b"\t", b"a\t", b" a", b"a\r", b"a\r\nb\r\n", b"\r", b"\r\n", b"a\\\r", b"a\0b", b"\0", b"*\0",
    b"\xef\xbb\xbfa", b"\xef\xbb\xbf#a", b"\xef\xbb\xbf", b"\xef\xbb\xbf*\n!a", b"\x0b",
    // Bytes, not characters.
    b"?", b"??", b"\xff", b"[\xff]", b"[\x80-\xff]", b"[\xc3\xa9]", b"\xc3\xa9", b"[!a]", b"a?", b"?b",
    // The last line without an end, and empty lines.
    b"\n\na", b"a\n\n", b"",
];

#[test]
fn patterns_of_every_kind_mean_what_they_mean_to_git() {
    let ground = Ground::new();
    let kinds: Vec<_> = KINDS.iter().map(|file| file.to_vec()).collect();
    let batches = kinds.chunks(BATCH);
    let differences: Vec<_> = batches
        .flat_map(|files| differences(&ground, files))
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Pieces of patterns, such as meet in classes, stars and escapes.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"a", b"b", b"c", b"d", b"e", b"ab", b"x", b".", b"-", b"]", b"[", b"[", b"!", b"^", b"\\", b"*",
    b"*", b"?", b"/", b"/", b"**", b"/**/", b"**/", b":", b"[:", b":]", b"[a", b"[!", b"[^", b"a-",
    b"-z]", b"[]", b"[[:alpha:]]", b"[:punct:]", b"[[:", b"{", b"}", b",", b" ", b"\t", b"#",
    b"\xff", b"\xc3", b"\xa9", b"\x80", b"\x01", b"0", b"Z", b"c/d", b"d/ab", b".py", b"/ab/", b"{}",
];

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES);
    vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), pattern()).prop_map(|(keeps, pattern)| {
        let sign: &[u8] = if keeps { b"!" } else { b"" };
        [sign, &pattern].concat()
    })
}

/// Most files have one line, so that no other hides what it means; some have so
/// many that they are not tried one after the other.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let count = prop_oneof![2..5usize, 30..60usize];
    let lines = count.prop_flat_map(|count| vec(line(), count));
    let lines = lines.prop_map(|lines| lines.join(&b'\n'));
    prop_oneof![4 => pattern(), 1 => lines]
}

/// Each case has 64 files of patterns; `PROPTEST_CASES` says how many there are.
#[test]
fn patterns_mean_what_they_mean_to_git() {
    let ground = Ground::new();
    let config = ProptestConfig {
        cases: cases(8),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&vec(file(), BATCH), |files| {
        match differences(&ground, &files).first() {
            Some(difference) => Err(TestCaseError::fail(difference.clone())),
            None => Ok(()),
        }
    });
    if let Err(TestError::Fail(reason, _)) = result {
        panic!("{reason}");
    }
    result.unwrap();
}
