//! The table of methods and the description of the routes say the same.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;

use sandbox_shared::methods::{self, Part};
use serde_json::Value;

const OPENAPI: &str = include_str!("../../worker/src/http/openapi.json");

/// Where the routes of a sandbox begin.
const SANDBOX: &str = "/v1/sandboxes/{name}/";

#[test]
fn every_route_is_described_and_nothing_else() {
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix(SANDBOX) else {
            continue;
        };
        for (verb, operation) in operations.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str() else {
                continue;
            };
            let has_body = operation.get("requestBody").is_some();
            // Events come with 200 whatever the method answers otherwise.
            let success = operation["responses"].as_object().unwrap();
            let success = success.iter().filter(|(_, answer)| {
                let content = answer.get("content").and_then(Value::as_object);
                content.is_none_or(|content| !content.keys().eq(["text/event-stream"]))
            });
            let success = success
                .map(|(status, _)| status)
                .find(|status| status.starts_with('2'));
            described.insert((
                verb.to_uppercase(),
                path.to_owned(),
                id.to_owned(),
                has_body,
                success.unwrap().clone(),
            ));
        }
    }
    let routes = methods::ALL.into_iter().filter_map(|row| {
        let route = row.route?;
        let has_body = matches!(route.takes, Part::Body | Part::QueryBesideContent);
        Some((
            route.method.as_str().to_owned(),
            route.path.to_owned(),
            row.name.to_owned(),
            has_body,
            row.status.to_string(),
        ))
    });
    assert_eq!(routes.collect::<BTreeSet<_>>(), described);
}

#[test]
fn a_method_has_one_name_and_one_way_over_rpc() {
    let names: Vec<_> = methods::names().collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), different.len(), "{names:?}");
}
