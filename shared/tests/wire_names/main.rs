//! Names on the wire: of everything that users send and get, with every field
//! set, each key is camelCase and stands in the Worker's OpenAPI description,
//! which in turn has no field that is not sent.
//!
//! Values are written without `..Default::default()`, so that a new field does
//! not compile until it is here.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use sandbox_shared::{
    CompressionFormat, ErrorCode, OnUnreadable, RestoreBackupResult, Strategy,
    progress::{OperationKind, Phase},
    report::Exclusion,
    status::ContainerState,
};
use serde::Serialize;
use serde_json::{Value, json};
use strum::VariantArray;

use samples::{others, queries, requests, results};
use values::{error, restored};

mod samples;
mod values;

/// Fields whose value is a map with names of the caller's.
const FREE: [&str; 2] = ["env", "context"];

#[test]
fn every_name_is_camel_case() {
    for (what, value) in others()
        .into_iter()
        .chain(queries())
        .chain(requests())
        .chain(results())
    {
        all_camel_case(&value, what);
    }
}

#[test]
fn requests_and_results_are_as_described() {
    let description = description();
    for (part, samples) in [("request", requests()), ("result", results())] {
        let described: BTreeMap<_, _> = operations(&description)
            .filter_map(|(id, operation)| Some((id, schema_of(part, operation)?)))
            .collect();
        let sampled: Vec<_> = samples.keys().collect();
        let all: Vec<_> = described.keys().collect();
        assert_eq!(sampled, all, "each {part} has a sample");
        for (id, value) in &samples {
            compare(
                &description,
                described[id],
                value,
                &format!("{part} of {id}"),
            );
        }
    }
    let failure = &description["components"]["schemas"]["Error"];
    compare(&description, failure, &json!({ "error": error() }), "error");
}

#[test]
fn queries_are_as_described() {
    let description = description();
    for (id, value) in queries() {
        let (_, operation) = operations(&description)
            .find(|(described, _)| *described == id)
            .unwrap();
        let described: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(keys(&value), described, "{id}");
    }
}

/// Words are written by serde in JSON, and by strum in logs, columns and routes.
#[test]
fn a_word_is_the_same_wherever_it_is_written() {
    fn check<T: VariantArray + Serialize + Copy + Into<&'static str>>() {
        for &word in T::VARIANTS {
            let text: &str = word.into();
            assert_eq!(serde_json::to_value(word).unwrap(), text);
        }
    }
    check::<ErrorCode>();
    check::<CompressionFormat>();
    check::<OnUnreadable>();
    check::<Strategy>();
    check::<OperationKind>();
    check::<Phase>();
    check::<Exclusion>();
    check::<ContainerState>();
}

/// An older Worker said `left_out`; whoever reads its answer still sees it.
#[test]
fn what_an_older_worker_left_out_is_read() {
    let mut answer = serde_json::to_value(restored()).unwrap();
    let left_out = answer.as_object_mut().unwrap().remove("leftOut").unwrap();
    answer["left_out"] = left_out;
    let read: RestoreBackupResult = serde_json::from_value(answer).unwrap();
    assert_eq!(read, restored());
}

fn description() -> Value {
    serde_json::from_str(include_str!("../../../worker/src/http/openapi.json")).unwrap()
}

/// Every operation by its id.
fn operations(description: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let routes = description["paths"].as_object().unwrap().values();
    routes
        .flat_map(|route| route.as_object().unwrap().values())
        .filter_map(|operation| Some((operation.get("operationId")?.as_str()?, operation)))
}

/// What is said of the JSON that an operation takes, or gives when it succeeds.
fn schema_of<'a>(part: &str, operation: &'a Value) -> Option<&'a Value> {
    let json = |body: &'a Value| body.pointer("/content/application~1json/schema");
    if part == "request" {
        return json(&operation["requestBody"]);
    }
    let answers = operation["responses"].as_object()?;
    answers
        .iter()
        .filter(|(status, _)| status.starts_with('2'))
        .find_map(|(_, answer)| json(answer))
}

/// Whether `value` has the fields that `schema` names, all of them and no others.
fn compare(description: &Value, schema: &Value, value: &Value, at: &str) {
    let mut fields = BTreeMap::new();
    let mut whole = Vec::new();
    let mut words: Vec<&Value> = Vec::new();
    flatten(description, schema, &mut fields, &mut whole);
    for schema in whole {
        if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
            assert!(!values.is_empty(), "{at} is to have an item");
            for value in values {
                compare(description, items, value, &format!("{at}[]"));
            }
        }
        words.extend(schema.get("const"));
        words.extend(
            schema
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        );
    }
    if !words.is_empty() {
        assert!(words.contains(&value), "{at}: {value} is not described");
    }
    // Options of another package mean nothing here, whatever they are.
    fields.retain(|_, schema| {
        let description = schema.get("description").and_then(Value::as_str);
        !description.is_some_and(|text| {
            text.ends_with("that means nothing here: accepted, whatever it is.")
        })
    });
    if fields.is_empty() {
        return;
    }
    assert_eq!(keys(value), fields.keys().copied().collect(), "{at}");
    for (name, schema) in fields {
        compare(description, schema, &value[name], &format!("{at}.{name}"));
    }
}

/// Collects the fields of a schema, and the schemas that it is made of.
fn flatten<'a>(
    description: &'a Value,
    schema: &'a Value,
    fields: &mut BTreeMap<&'a str, &'a Value>,
    whole: &mut Vec<&'a Value>,
) {
    if let Some(reference) = schema.get("$ref") {
        let pointer = reference.as_str().unwrap().trim_start_matches('#');
        let target = description.pointer(pointer).unwrap();
        return flatten(description, target, fields, whole);
    }
    for parts in ["allOf", "anyOf"] {
        for part in schema
            .get(parts)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            flatten(description, part, fields, whole);
        }
    }
    for (name, schema) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        fields.insert(name, schema);
    }
    whole.push(schema);
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let fields = value.as_object().unwrap();
    fields.keys().map(String::as_str).collect()
}

fn all_camel_case(value: &Value, at: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let camel_case = name.starts_with(|first: char| first.is_ascii_lowercase())
                    && name.chars().all(|c| c.is_ascii_alphanumeric());
                assert!(camel_case, "{at}: {name}");
                if !FREE.contains(&name.as_str()) {
                    all_camel_case(value, &format!("{at}.{name}"));
                }
            }
        }
        Value::Array(values) => {
            assert!(!values.is_empty(), "{at} is to have an item");
            values.iter().for_each(|value| all_camel_case(value, at));
        }
        _ => {}
    }
}
