//! Whether a name matches a glob, as git's `wildmatch` decides it.
//!
//! Globs and names are bytes. `*` and `?` do not match `/`; `**/`, `/**/` and
//! `/**` match directories of any depth. There are no braces. A glob that is
//! malformed matches nothing, a class with an unknown name (`[[:vowel:]]`)
//! included.
//!
//! Git decides by recursion, in a time that can double with every `**/`. Here it
//! is at most the product of both lengths, because it is enough to try the last
//! `*` and the last `**/` again: whatever is between two `**/` has a fixed number
//! of slashes, so where it matches first leaves most to what follows.

use std::ops::ControlFlow;

/// Why a glob can match nothing, if it is malformed.
pub(super) fn problem(glob: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    while at < glob.len() {
        match glob[at] {
            b'\\' if at + 1 == glob.len() => return Some("it ends in the middle of an escape"),
            b'\\' => at += 2,
            b'[' => match class(&glob[at..], 0) {
                Some((_, length)) => at += length,
                None => return Some("a [ has no ] that ends it"),
            },
            _ => at += 1,
        }
    }
    None
}

/// Whether all of `name` matches.
pub(super) fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where a `*` and a `**/` go on in the glob, and where in the name.
    let mut star: Option<(usize, usize)> = None;
    let mut directories: Option<(usize, usize)> = None;
    loop {
        let step = match glob.get(at) {
            Some(b'*') => match stars(glob, at) {
                Stars::Rest => return true,
                Stars::Component { next } => {
                    star = Some((next, position));
                    ControlFlow::Continue(next)
                }
                Stars::Directories { next, even_none } => {
                    (star, directories) = (None, Some((next, position)));
                    if even_none {
                        ControlFlow::Continue(next)
                    } else {
                        ControlFlow::Break(())
                    }
                }
            },
            Some(_) => match name.get(position).and_then(|&byte| one(&glob[at..], byte)) {
                Some(length) => {
                    position += 1;
                    ControlFlow::Continue(at + length)
                }
                None => ControlFlow::Break(()),
            },
            None if position == name.len() => return true,
            None => ControlFlow::Break(()),
        };
        if let ControlFlow::Continue(next) = step {
            at = next;
            continue;
        }
        let longer = |(next, from): (usize, usize)| {
            let within = name.get(from).is_some_and(|&byte| byte != b'/');
            within.then_some((next, from + 1))
        };
        let deeper = |(next, from): (usize, usize)| {
            let slash = name[from..].iter().position(|&byte| byte == b'/')?;
            Some((next, from + slash + 1))
        };
        star = star.and_then(longer);
        if star.is_none() {
            directories = directories.and_then(deeper);
        }
        let Some((next, from)) = star.or(directories) else {
            return false;
        };
        (at, position) = (next, from);
    }
}

/// The longest piece of a well-formed glob that is in every name which matches.
pub(super) fn longest_literal(glob: &[u8]) -> &[u8] {
    let mut longest: &[u8] = &[];
    let mut at = 0;
    while at < glob.len() {
        let rest = &glob[at..];
        at += match rest {
            [b'*', ..] => {
                let run = rest.iter().take_while(|&&byte| byte == b'*').count();
                // The slash of `**/` may stand for nothing.
                run + usize::from(rest.get(run) == Some(&b'/'))
            }
            [b'[', ..] => class(rest, 0).map_or(rest.len(), |(_, length)| length),
            [b'\\', ..] => 2,
            [b'?', ..] => 1,
            _ => {
                let length = literal_length(rest);
                if length > longest.len() {
                    longest = &rest[..length];
                }
                length
            }
        };
    }
    longest
}

/// How many bytes come before the first that is not just itself.
pub(super) fn literal_length(glob: &[u8]) -> usize {
    glob.iter()
        .position(|byte| b"*?[\\".contains(byte))
        .unwrap_or(glob.len())
}

/// What a run of `*` stands for.
enum Stars {
    /// For any bytes but `/`; the glob goes on at `next`.
    Component { next: usize },
    /// For any bytes up to a `/`, that included; for nothing, too, if `even_none`.
    Directories { next: usize, even_none: bool },
    /// For all that is left.
    Rest,
}

fn stars(glob: &[u8], start: usize) -> Stars {
    let run = glob[start..].iter().take_while(|&&byte| byte == b'*');
    let next = start + run.count();
    let begins = start == 0 || glob[start - 1] == b'/';
    if next - start == 1 || !begins {
        return Stars::Component { next };
    }
    match &glob[next..] {
        [] => Stars::Rest,
        [b'/', ..] => Stars::Directories {
            next: next + 1,
            even_none: true,
        },
        [b'\\', b'/', ..] => Stars::Directories {
            next: next + 2,
            even_none: false,
        },
        _ => Stars::Component { next },
    }
}

/// If the beginning of `glob`, which is no `*`, matches `byte`: its length.
fn one(glob: &[u8], byte: u8) -> Option<usize> {
    match glob {
        [b'?', ..] => (byte != b'/').then_some(1),
        [b'[', ..] => class(glob, byte).and_then(|(matches, length)| matches.then_some(length)),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        // Nothing ends in an escape.
        [b'\\'] | [] => None,
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether `byte` is in the class that `glob` begins with, and the length of the
/// class; `None` if it does not end.
fn class(glob: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(glob.get(1)?, b'!' | b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut known = true;
    let mut found = false;
    // What a range would begin with.
    let mut first = None;
    loop {
        let mut member = *glob.get(at)?;
        let ends_range = !matches!(glob.get(at + 1), None | Some(b']'));
        let named = (member == b'[')
            .then(|| name_of_class(&glob[at..]))
            .flatten();
        if let Some(name) = named {
            match is_in(name, byte) {
                Some(is_in) => found |= is_in,
                None => known = false,
            }
            // `[:` and `:]`, but for the byte that every member has.
            at += name.len() + 3;
            first = None;
        } else if let (b'-', Some(lowest), true) = (member, first, ends_range) {
            at += 1;
            if glob[at] == b'\\' {
                at += 1;
            }
            found |= (lowest..=*glob.get(at)?).contains(&byte);
            first = None;
        } else {
            if member == b'\\' {
                at += 1;
                member = *glob.get(at)?;
            }
            found |= member == byte;
            first = Some(member);
        }
        at += 1;
        if *glob.get(at)? == b']' {
            let matches = known && found != negated && byte != b'/';
            return Some((matches, at + 1));
        }
    }
}

/// What is between `[:` and `:]`, if `members` begin so. The first `]` must be
/// that of `:]`.
fn name_of_class(members: &[u8]) -> Option<&[u8]> {
    let name = members.strip_prefix(b"[:")?;
    let end = name.iter().position(|&byte| byte == b']')?;
    name[..end].strip_suffix(b":")
}

/// Whether a byte is in a class with a name; `None` if there is none of that
/// name. Git knows ASCII only, and no more than four bytes that are space.
fn is_in(name: &[u8], byte: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By recursion, each `**/` would double the time.
    #[test]
    fn no_glob_takes_long() {
        let name = [&b"a/".repeat(1000), b"a".as_slice()].concat();
        for (piece, end) in [
            ("**/a/", "b"),
            ("**/[a]/*", "b"),
            ("*a", "b"),
            ("**/*a*/", "b"),
        ] {
            let glob = piece.repeat(500) + end;
            assert!(!matches(glob.as_bytes(), &name), "{piece}");
        }
        assert!(matches(
            "**/a/".repeat(500).as_bytes(),
            &[name.as_slice(), b"/"].concat()
        ));
    }

    #[test]
    fn the_longest_literal_is_in_all_that_matches() {
        for (glob, literal) in [
            ("plain", "plain"),
            ("*.o", ".o"),
            ("a/**/bcd", "bcd"),
            ("**/ab", "ab"),
            ("a*bcd?ef", "bcd"),
            ("[abcdef]gh", "gh"),
            ("a\\bcd", "cd"),
            ("[[:alpha:]]*", ""),
        ] {
            assert_eq!(
                longest_literal(glob.as_bytes()),
                literal.as_bytes(),
                "{glob}"
            );
        }
    }

    #[test]
    fn malformed_globs_are_told_apart() {
        for glob in ["[", "a[b", "[]", "[!]", "[[:alpha:]", "[a\\]", "a\\", "[a-"] {
            assert!(problem(glob.as_bytes()).is_some(), "{glob}");
        }
        for glob in [
            "]",
            "[]]",
            "[!]]",
            "\\[",
            "[[:nope:]]",
            "[z-a]",
            "a{b",
            "[[:]",
            "a\\\\",
        ] {
            assert_eq!(problem(glob.as_bytes()), None, "{glob}");
        }
    }
}
