//! Every arrow goes down: no module of a crate names one that stands above it, and
//! no two modules name each other.
//!
//! Modules are files. What is compared are modules with the same parent, with all
//! that is below them; a module and those below it belong together and may name
//! each other.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use sandbox_toolbox::project;
use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// The crates, and the modules of their roots from the top down, where an order
/// is declared. A module that is not in it may be anywhere.
const CRATES: [(&str, &[&str]); 11] = [
    (
        "worker",
        &[
            "sandbox",
            "http",
            "service",
            "backup",
            "operation",
            "lifecycle",
            "agent",
            "container",
            "storage",
            "sse",
            "metrics",
            "config",
            "timing",
            "clock",
        ],
    ),
    ("shared", &["methods", "request", "protocol"]),
    ("agent", &[]),
    (
        "cow-fuse",
        &["view", "cow", "archive_file", "archive", "session", "lower"],
    ),
    (
        "squashfs",
        &["image", "writer", "tree", "reader", "decoder", "format"],
    ),
    ("sandboxctl", &[]),
    ("client/rust", &[]),
    ("bench", &[]),
    ("local-host", &[]),
    ("toolbox", &[]),
    ("xtask", &[]),
];

/// `crate::a::b` is `["a", "b"]`.
type Module = Vec<String>;

/// Which module names which, by their names below a common parent, and where.
type Arrows = BTreeMap<(String, String), String>;

#[test]
fn no_module_names_one_above_it() {
    let wrong: Vec<_> = CRATES
        .iter()
        .flat_map(|(name, order)| {
            let root = project::root().join(name).join("src");
            judge(&arrows_of(&root), order)
                .into_iter()
                .map(move |wrong| format!("{name}: {wrong}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_circle_and_an_arrow_up_are_seen() {
    let arrows = |pairs: &[(&str, &str)]| {
        let arrow = |(from, to): &(&str, &str)| {
            let arrow = ((*from).to_owned(), (*to).to_owned());
            (arrow, format!("{from}.rs"))
        };
        BTreeMap::from([(Module::new(), pairs.iter().map(arrow).collect())])
    };
    let down = arrows(&[("a", "b"), ("b", "c"), ("a", "c")]);
    assert_eq!(judge(&down, &["a", "b", "c"]), [""; 0]);
    let up = judge(&down, &["b", "a"]);
    assert_eq!(up, ["a names b, which stands above it (a.rs)"]);
    let circle = judge(&arrows(&[("a", "b"), ("b", "c"), ("c", "a")]), &[]);
    assert_eq!(
        circle,
        ["a circle: a names b (a.rs), b names c (b.rs), c names a (c.rs)"]
    );
}

/// What is wrong with the arrows of a crate, by parent module.
fn judge(arrows: &BTreeMap<Module, Arrows>, order: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (parent, arrows) in arrows {
        let place = |name: &str| order.iter().position(|known| *known == name);
        for ((from, to), file) in arrows {
            if parent.is_empty() && place(from) > place(to) && place(to).is_some() {
                wrong.push(format!("{from} names {to}, which stands above it ({file})"));
            }
        }
        if let Some(circle) = circle(arrows) {
            wrong.push(format!("a circle: {circle}"));
        }
    }
    wrong
}

/// One circle, if there is any.
fn circle(arrows: &Arrows) -> Option<String> {
    let names: BTreeSet<_> = arrows.keys().flat_map(|(from, to)| [from, to]).collect();
    let mut left: BTreeSet<_> = arrows.keys().map(|(from, to)| (from, to)).collect();
    // Whoever names nobody that is left is in no circle.
    while let Some(leaf) = names.iter().find(|name| {
        left.iter().any(|(_, to)| to == *name) && !left.iter().any(|(from, _)| from == *name)
    }) {
        left.retain(|(_, to)| to != leaf);
    }
    let mut path = vec![left.first()?.0];
    let circle = loop {
        let last = path[path.len() - 1];
        let (_, next) = left.iter().find(|(from, _)| *from == last)?;
        if let Some(start) = path.iter().position(|name| name == next) {
            path.push(next);
            break &path[start..];
        }
        path.push(next);
    };
    let steps = circle.windows(2).map(|step| {
        let file = &arrows[&(step[0].clone(), step[1].clone())];
        format!("{} names {} ({file})", step[0], step[1])
    });
    Some(steps.collect::<Vec<_>>().join(", "))
}

/// The arrows between the modules of a crate, by their parent.
fn arrows_of(root: &Path) -> BTreeMap<Module, Arrows> {
    let mut files = BTreeMap::new();
    read(root, &mut Vec::new(), &mut files);
    let mut arrows: BTreeMap<Module, Arrows> = BTreeMap::new();
    for (module, file) in &files {
        let mut names = Names {
            module: module.clone(),
            named: BTreeSet::new(),
        };
        names.visit_file(file);
        for named in names.named {
            let target = (0..=named.len()).rev().map(|length| &named[..length]);
            let target = target.into_iter().find(|it| files.contains_key(*it));
            let Some(target) = target else { continue };
            let common = module
                .iter()
                .zip(target)
                .take_while(|(a, b)| a == b)
                .count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                let arrows = arrows.entry(module[..common].to_vec()).or_default();
                arrows
                    .entry((from.clone(), to.clone()))
                    .or_insert_with(|| module.join("/") + ".rs");
            }
        }
    }
    arrows
}

fn read(directory: &Path, parent: &mut Module, files: &mut BTreeMap<Module, syn::File>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            // Programs of their own.
            if name != "bin" {
                parent.push(name);
                read(&path, parent, files);
                parent.pop();
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            let mut module = parent.clone();
            if !matches!(&*name, "lib" | "main") {
                module.push(name);
            }
            files.insert(module, file);
        }
    }
}

/// What one module names of its own crate.
struct Names {
    module: Module,
    named: BTreeSet<Module>,
}

impl Names {
    /// Notes a path from the root of the crate, or from a module near this one.
    fn note(&mut self, path: &[String]) {
        let mut module = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(module.pop()),
                segment => module.push(segment.to_owned()),
            }
        }
        self.named.insert(module);
    }

    fn note_tree(&mut self, path: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.note_tree(path, &inner.tree);
                path.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(path, tree);
                }
            }
            UseTree::Name(name) => self.note_last(path, name.ident.to_string()),
            UseTree::Rename(name) => self.note_last(path, name.ident.to_string()),
            UseTree::Glob(_) => self.note(path),
        }
    }

    fn note_last(&mut self, path: &[String], name: String) {
        self.note(&[path, &[name]].concat());
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|condition| condition.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(module) => &module.attrs,
            Item::Fn(function) => &function.attrs,
            Item::Use(import) => &import.attrs,
            Item::Impl(implementation) => &implementation.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        self.note_tree(&mut Vec::new(), &import.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        self.note(&segments);
        visit::visit_path(self, path);
    }
}
