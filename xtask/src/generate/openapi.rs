//! `openapi.json`: the routes, as OpenAPI 3.1 describes them.

use std::collections::BTreeSet;

use sandbox_shared::{
    ErrorCode,
    methods::{OF_ANY_METHOD, Part, Stream},
    name,
    operation::OperationId,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::contract::{Contract, Described, SCHEMAS, drop_null};

const INTRODUCTION: &str = "Point-in-time snapshots of directories in a container, kept in R2, restored \
    copy-on-write. A field that is not described here is refused, also one of a query, except in what \
    `restoreBackup` takes.";

/// The description of all routes.
pub(super) fn document(contract: &Contract) -> Value {
    let mut paths = Map::new();
    for method in &contract.methods {
        let Some(route) = method.row.route else {
            continue;
        };
        let (path, mut parameters) = match method.row.is_of_all {
            true => ("/v1/sandboxes".to_owned(), Vec::new()),
            false => (
                format!("/v1/sandboxes/{{name}}/{}", route.path),
                vec![sandbox_name()],
            ),
        };
        if let Part::Path(name) = route.takes {
            parameters.push(parameter(contract, method, name, "path"));
        }
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        if !parameters.is_empty() {
            operations["parameters"] = parameters.into();
        }
        operations[route.method.as_str().to_lowercase()] = operation(contract, method, route.takes);
    }
    let mut schemas = contract.schemas.clone();
    schemas.insert("Error".into(), error());
    let used = reachable(&paths, &schemas);
    schemas.retain(|name, _| used.contains(name));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sandbox backups",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The secret SANDBOX_API_TOKEN.",
                },
            },
            "schemas": schemas,
        },
    })
}

/// The names of the schemas that the paths refer to, and what those refer to; events
/// are referred to by their name alone.
fn reachable(paths: &Map<String, Value>, schemas: &Map<String, Value>) -> BTreeSet<String> {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|it| references(it, found)),
            Value::Object(fields) => fields.iter().for_each(|(name, it)| match it.as_str() {
                Some(text) if name == "$ref" => {
                    found.extend(text.strip_prefix(SCHEMAS).map(str::to_owned))
                }
                _ => references(it, found),
            }),
            _ => {}
        }
    }
    let mut pending = vec!["ExecEvent".to_owned()];
    paths
        .values()
        .for_each(|path| references(path, &mut pending));
    let mut used = BTreeSet::new();
    while let Some(name) = pending.pop() {
        if let Some(schema) = schemas.get(&name)
            && used.insert(name)
        {
            references(schema, &mut pending);
        }
    }
    used
}

fn operation(contract: &Contract, method: &Described, takes: Part) -> Value {
    let mut operation = json!({ "operationId": method.row.name, "summary": method.summary });
    if !method.description.is_empty() {
        operation["description"] = method.description.as_str().into();
    }
    let mut parameters = Vec::new();
    match takes {
        Part::Body => {
            operation["requestBody"] =
                json!({ "required": true, "content": content(JSON, &method.takes.schema) });
        }
        Part::QueryBesideContent => {
            operation["requestBody"] = json!({ "required": true, "content": { BYTES: {} } });
        }
        Part::Query | Part::Path(_) => {}
    }
    if matches!(takes, Part::Query | Part::QueryBesideContent) {
        let fields = contract.schemas.get(&method.takes.name);
        let fields = fields.and_then(|schema| schema["properties"].as_object());
        let names = fields.into_iter().flat_map(Map::keys);
        parameters.extend(names.map(|name| parameter(contract, method, name, "query")));
    }
    if method.row.is_journaled {
        parameters.push(operation_id());
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation["responses"] = responses(contract, method);
    operation
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const EVENTS: &str = "text/event-stream";

fn content(kind: &str, schema: &Value) -> Value {
    json!({ kind: { "schema": schema } })
}

/// A field of what `method` takes as a parameter.
fn parameter(contract: &Contract, method: &Described, name: &str, place: &str) -> Value {
    let taken = &contract.schemas[&method.takes.name];
    let mut schema = taken["properties"][name].clone();
    drop_null(&mut schema);
    let required = taken["required"].as_array();
    let is_required = required.is_some_and(|required| required.contains(&name.into()));
    json!({ "name": name, "in": place, "required": is_required, "schema": schema })
}

fn sandbox_name() -> Value {
    json!({
        "name": "name",
        "in": "path",
        "required": true,
        "description": "Any name: the sandbox is created on first use.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": name::MAX_NAME_CHARS,
        },
    })
}

fn operation_id() -> Value {
    json!({
        "name": "Operation-Id",
        "in": "header",
        "description": "Names the operation, so that its outcome can be asked for if this answer is \
            lost. Each operation needs one of its own.",
        "schema": OperationId::json_schema(&mut SchemaGenerator::default()),
    })
}

fn responses(contract: &Contract, method: &Described) -> Value {
    let row = method.row;
    let mut responses = json!({});
    let success = row.status.to_string();
    responses[&success] = match method.returns.name.as_str() {
        "Nothing" => json!({ "description": "Done." }),
        "Bytes" => json!({ "description": "The content.", "content": { BYTES: {} } }),
        name => json!({
            "description": contract.schemas[name]["description"],
            "content": content(JSON, &method.returns.schema),
        }),
    };
    if let Some(stream) = row.streams {
        // Events come with 200 whatever the method answers otherwise.
        if row.status != 200 {
            responses["200"] = json!({ "description": "Its progress, as events.", "content": {} });
        }
        let events = match stream {
            Stream::Progress => {
                "`{\"type\": \"progress\", \"operation\"}`, at the end \
                `{\"type\": \"result\", \"result\"}` or `{\"error\"}`. Hanging up cancels the operation."
            }
            Stream::Output => {
                "an `ExecEvent`, or `{\"error\"}` at the end. Hanging up kills the command."
            }
        };
        responses["200"]["content"][EVENTS] = json!({
            "schema": {
                "type": "string",
                "description": format!(
                    "With `Accept: text/event-stream`: `data:` lines of JSON, each of them {events}"
                ),
            },
        });
    }
    let codes = |codes: &[ErrorCode]| {
        let codes: Vec<_> = codes.iter().copied().map(code_and_status).collect();
        codes.join(", ")
    };
    responses["default"] = json!({
        "description": format!(
            "It failed: {}; or, as any method can: {}.",
            codes(&row.codes()),
            codes(&OF_ANY_METHOD),
        ),
        "content": content(JSON, &json!({ "$ref": format!("{SCHEMAS}Error") })),
    });
    responses
}

fn code_and_status(code: ErrorCode) -> String {
    format!("`{code}` ({})", code.http_status())
}

fn error() -> Value {
    json!({
        "type": "object",
        "properties": { "error": { "$ref": format!("{SCHEMAS}Failure") } },
        "required": ["error"],
    })
}
