//! `contract.ts` of the client: the types, and the methods with their names.

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use anyhow::{Context, Result, ensure};
use sandbox_shared::methods::{Argument, Row};
use serde_json::{Map, Value, json};

use super::contract::{Contract, Described, SCHEMAS, Type, drop_null_of_optional};
use crate::setup::NodeTools;
use sandbox_toolbox::project;

const HEADER: &str = "\
// Made by `cargo xtask generate` from shared/src: the types of the contract, and
// the methods of a sandbox.

";

const SANDBOX: &str = "\
/**
 * A sandbox: a container with its Durable Object. Backups and restores of one sandbox run one after
 * the other. Every method throws a `SandboxError` when it fails. Beside the codes that are named
 * with it, there are `INVALID_REQUEST` for more arguments than it takes, `OPERATION_INTERRUPTED`
 * when the Durable Object goes away, `INTERNAL_ERROR`, and those of the restores that `autoRestore`
 * asks for, which come before anything else in a new container.
 */
export interface Sandbox {
";

/// The module.
pub(super) fn module(contract: &Contract, tools: &NodeTools) -> Result<String> {
    let called = |method: &&Described| method.row.arguments.is_some();
    let methods: Vec<_> = contract.methods.iter().filter(called).collect();
    let signatures: Vec<_> = methods.iter().map(|it| signature(contract, it)).collect();
    let journaled = methods.iter().filter(|method| method.row.is_journaled);
    let rest = [
        SANDBOX,
        &signatures.join("\n"),
        "}\n\n/** The methods of a sandbox. */\n",
        &list("METHODS", methods.iter().map(|method| method.row)),
        "\n/** Those that are journaled by the id of an operation. */\n",
        &list("JOURNALED_METHODS", journaled.map(|method| method.row)),
    ];
    Ok(HEADER.to_owned() + &with_types(contract, &rest.concat(), tools)?)
}

fn list<'a>(name: &str, rows: impl Iterator<Item = &'a Row>) -> String {
    let names: String = rows.map(|row| format!("  \"{}\",\n", row.name)).collect();
    format!("export const {name} = [\n{names}] as const;\n")
}

/// The types that have names, and the `rest` of the module, all of it formatted.
fn with_types(contract: &Contract, rest: &str, tools: &NodeTools) -> Result<String> {
    let mut definitions = contract.schemas.clone();
    // TypeScript writes what may be absent without null.
    definitions.values_mut().for_each(drop_null_of_optional);
    let mut definitions = definitions.into();
    wrap_descriptions(&mut definitions);
    let document = json!({ "definitions": definitions, "rest": rest }).to_string();
    let document = document.replace(SCHEMAS, "#/definitions/");
    let mut writer = tools
        .script(&project::root().join("xtask/src/generate/types.mjs"))?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Dropped at the end, which is the end of its input.
    let mut input = writer.stdin.take().context("no standard input")?;
    input.write_all(document.as_bytes())?;
    drop(input);
    let output = writer.wait_with_output()?;
    ensure!(output.status.success(), "the types could not be written");
    Ok(String::from_utf8(output.stdout)?)
}

/// A method with its comment.
fn signature(contract: &Contract, method: &Described) -> String {
    let mut comment = vec![method.summary.clone()];
    if !method.description.is_empty() {
        comment.push(String::new());
        comment.push(method.description.clone());
    }
    let codes = method.row.codes();
    let codes: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    comment.push(format!("@throws {}", codes.join(", ")));
    let mut text = "  /**\n".to_owned();
    for line in comment.iter().flat_map(|paragraph| wrapped(paragraph)) {
        let _ = writeln!(text, "{}", format!("   * {line}").trim_end());
    }
    text += "   */\n";
    let arguments = method.row.arguments.unwrap_or_default();
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| parameter(contract, method, *argument))
        .collect();
    let name = method.row.name;
    let returns = returned(&method.returns);
    let _ = writeln!(
        text,
        "  {name}({}): Promise<{returns}>;",
        arguments.join(", ")
    );
    text
}

fn returned(returns: &Type) -> &str {
    match returns.name.as_str() {
        "Nothing" => "void",
        "Events" => "ReadableStream<Uint8Array>",
        name => name,
    }
}

fn parameter(contract: &Contract, method: &Described, argument: Argument) -> String {
    let takes = &method.takes.name;
    let schema = &contract.schemas[takes];
    let no_fields = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&no_fields);
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|it| it.contains(&name.into()));
    match argument {
        Argument::Field(name) => {
            let optional = if is_required(name) { "" } else { "?" };
            match fields[name]["type"].as_str() {
                Some("string") => format!("{name}{optional}: string"),
                _ => format!("{name}{optional}: {takes}[\"{name}\"]"),
            }
        }
        Argument::Fields(name) => format!("{name}: {takes}"),
        Argument::Rest(name) => {
            let omitted = positional(method.row).map(|it| format!("\"{it}\""));
            let omitted: Vec<_> = omitted.collect();
            match omitted.is_empty() {
                true => format!("{name}?: {takes}"),
                false => format!("{name}?: Omit<{takes}, {}>", omitted.join(" | ")),
            }
        }
        Argument::Handle(name) => format!("{name}: string | {takes}"),
        Argument::Options(name) => format!("{name}?: {}", method.options.name),
        Argument::Content(name) => {
            format!("{name}: string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>")
        }
    }
}

/// The fields that are arguments of their own.
fn positional(row: &Row) -> impl Iterator<Item = &'static str> {
    row.arguments
        .unwrap_or_default()
        .iter()
        .filter_map(|argument| match argument {
            Argument::Field(name) => Some(*name),
            _ => None,
        })
}

/// Says what TypeScript has no words for, and breaks the lines of all that is said.
fn wrap_descriptions(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(wrap_descriptions),
        Value::Object(fields) => {
            fields.values_mut().for_each(wrap_descriptions);
            if fields.get("type").is_some_and(|it| it == "integer") {
                // A number that is computed has no literal type.
                fields.remove("enum");
            }
            let is_moment = fields.get("format").is_some_and(|it| it == "date-time");
            if let Some(Value::String(text)) = fields.get_mut("description") {
                if is_moment && !text.contains("ISO 8601") {
                    text.push_str(" ISO 8601.");
                }
                *text = wrapped(text).join("\n");
            }
        }
        _ => {}
    }
}

/// The lines of a text, none of them longer than a comment may be.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 92;
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                // The items of a list go on below their text.
                let item = line.starts_with("- ") || line.starts_with("  ");
                lines.push(std::mem::take(&mut line));
                line.push_str(if item { "  " } else { "" });
            }
            if !line.trim().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
