//! The code blocks of the documents, which are run rather than believed.
//!
//! A block runs unless `no-run` stands after its language, as for commands that
//! deploy. The blocks of one language in one document are one program: a later
//! one uses what an earlier one has set. `ts` blocks are written into the
//! consumer Worker ([`write_samples`]), `sh` blocks into a script ([`script`]);
//! `json` and `toml` must parse.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use sandbox_toolbox::project;

/// Where [`write_samples`] writes them.
const SAMPLES: &str = "tests/consumer/generated/documents.ts";

/// A file with text for people.
#[derive(Debug)]
pub struct Document {
    /// Relative to the project's root.
    pub name: String,
    /// Its code.
    pub blocks: Vec<Block>,
}

/// One block of code.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it is: `README.md:19`.
    pub at: String,
    /// `sh`, `ts`, `toml`, …; empty for a drawing.
    pub language: String,
    /// Whether it is to be run.
    pub runs: bool,
    /// Without the fences.
    pub code: String,
}

/// All of them: the READMEs and everything in `docs/`.
pub fn all() -> Result<Vec<Document>> {
    let root = project::root();
    let mut names = [
        "README.md",
        "client/README.md",
        "examples/coding-agent/README.md",
    ]
    .map(str::to_owned)
    .to_vec();
    for entry in fs::read_dir(root.join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(root.join(&name))?;
            let blocks = blocks(&name, &text)?;
            Ok(Document { name, blocks })
        })
        .collect()
}

fn blocks(name: &str, text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let mut words = info.split_whitespace();
                let language = words.next().unwrap_or_default().to_owned();
                let at = format!("{name}:{number}");
                let marks: Vec<_> = words.collect();
                let runs = match marks[..] {
                    [] => true,
                    ["no-run"] => false,
                    _ => bail!("{at}: nobody knows the mark {marks:?}"),
                };
                open = Some(Block {
                    at,
                    language,
                    runs,
                    code: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.code.push_str(line);
                block.code.push('\n');
            }
            (None, None) => {}
        }
    }
    match open {
        Some(block) => bail!("{}: it has no end", block.at),
        None => Ok(blocks),
    }
}

impl Document {
    /// Blocks of a language that are to be run.
    pub fn run_of(&self, language: &str) -> impl Iterator<Item = &Block> {
        self.blocks
            .iter()
            .filter(move |block| block.runs && block.language == language)
    }

    /// One shell script of all `sh` blocks. What the block number *n* prints
    /// goes into the file *n* in the directory `OUTPUT`; if one fails, the
    /// script ends and says which.
    pub fn script(&self) -> String {
        let mut script = String::from("set -euo pipefail\ntrap 'echo \"$at failed\" >&2' ERR\n");
        for (number, block) in self.run_of("sh").enumerate() {
            let Block { at, code, .. } = block;
            let _ = writeln!(script, "at='{at}'\n{{\n{code}\n}} > \"$OUTPUT/{number}\"");
        }
        script
    }

    /// The `json` blocks that stand right after an `sh` block that runs: what
    /// it prints, as an example. With the number of that block.
    pub fn answers(&self) -> Vec<(usize, &Block)> {
        let mut number = 0;
        let mut answers = Vec::new();
        for pair in self.blocks.windows(2) {
            if pair[0].language != "sh" || !pair[0].runs {
                continue;
            }
            if pair[1].language == "json" && pair[1].runs {
                answers.push((number, &pair[1]));
            }
            number += 1;
        }
        answers
    }
}

/// Writes the `ts` blocks of all documents to where the consumer Worker finds
/// them, unless they are there, and gives the path.
pub fn write_samples() -> Result<PathBuf> {
    let mut imports = BTreeSet::new();
    let mut functions = String::new();
    for document in all()? {
        let mut body = String::new();
        for Block { at, code, .. } in document.run_of("ts") {
            let _ = writeln!(body, "    at({at:?});");
            for line in code.lines() {
                if line.starts_with("import ") {
                    imports.extend(imported(line).with_context(|| at.clone())?);
                } else {
                    let _ = writeln!(body, "    {line}");
                }
            }
        }
        if !body.is_empty() {
            let _ = writeln!(
                functions,
                "  async {:?}({{ env, userId, at }}: Document) {{\n{body}  }},",
                document.name
            );
        }
    }
    let imports: String = imports
        .into_iter()
        .map(|(name, module)| format!("import {{ {name} }} from {module};\n"))
        .collect();
    let module = format!(
        "// Written by the tests: the samples of the documents.\n\n{imports}import type {{ Document }} from \"../env\";\n\n\
         export const documents: Record<string, (document: Document) => Promise<void>> = {{\n{functions}}};\n"
    );
    let path = project::root().join(SAMPLES);
    if !fs::read_to_string(&path).is_ok_and(|written| written == module) {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        fs::write(&path, module)?;
    }
    Ok(path)
}

/// The names of one line `import { a, b } from "module";`, each with its module.
fn imported(line: &str) -> Result<Vec<(String, String)>> {
    let names = line
        .strip_prefix("import {")
        .and_then(|rest| rest.split_once("} from "));
    let (names, module) = names.context("an import must be one line: import { … } from …;")?;
    let module = module.trim_end_matches(';');
    Ok(names
        .split(',')
        .map(|name| (name.trim().to_owned(), module.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
text
```sh
a=1
```
```json
{}
```
```sh no-run
rm -r /
```
```
drawing
```
";

    #[test]
    fn blocks_know_where_they_are_and_whether_they_run() {
        let blocks = blocks("x.md", TEXT).unwrap();
        let told: Vec<_> = blocks
            .iter()
            .map(|block| (block.at.as_str(), block.language.as_str(), block.runs))
            .collect();
        assert_eq!(
            told,
            [
                ("x.md:3", "sh", true),
                ("x.md:6", "json", true),
                ("x.md:9", "sh", false),
                ("x.md:12", "", true)
            ]
        );
        let document = Document {
            name: "x.md".into(),
            blocks,
        };
        assert!(document.script().contains("a=1"));
        assert!(!document.script().contains("rm -r"));
        assert_eq!(document.answers(), [(0, &document.blocks[1])]);
        assert!(super::blocks("x.md", "```sh").is_err());
        assert!(super::blocks("x.md", "```sh ignore\n```").is_err());
    }
}
