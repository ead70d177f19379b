//! The contract as data: every method of the table with its documentation and the
//! JSON Schemas of what it takes and returns.

use sandbox_shared::{
    ErrorCode, SandboxError,
    methods::{self, Method, Row, Visitor},
};
use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract as Direction, SchemaSettings},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Where the schemas of types with a name are referred to.
pub(super) const SCHEMAS: &str = "#/components/schemas/";

const MEANINGLESS: &str =
    "An option of `@cloudflare/sandbox` that means nothing here: accepted, whatever it is.";

/// All methods, and the schemas of the types with names that they refer to.
pub(super) struct Contract {
    pub(super) methods: Vec<Described>,
    pub(super) schemas: Map<String, Value>,
}

/// A method.
pub(super) struct Described {
    pub(super) row: &'static Row,
    /// The first paragraph of its documentation.
    pub(super) summary: String,
    /// The others.
    pub(super) description: String,
    pub(super) takes: Type,
    pub(super) options: Type,
    pub(super) returns: Type,
}

/// A type that a method takes or returns.
pub(super) struct Type {
    pub(super) name: String,
    /// A reference, if there is one to its name.
    pub(super) schema: Value,
}

/// The contract of the table.
pub(super) fn contract() -> Contract {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.trim_start_matches('#').into();
    });
    let mut collector = Collector {
        methods: Vec::new(),
        requests: settings.clone().into_generator(),
        results: settings
            .with(|settings| settings.contract = Direction::Serialize)
            .into_generator(),
    };
    methods::visit(&mut collector);
    collector.results.subschema_for::<SandboxError>();
    let mut schemas = collector.results.take_definitions(true);
    schemas.values_mut().for_each(drop_null_of_optional);
    schemas.values_mut().for_each(drop_defaults);
    let mut requests = collector.requests.take_definitions(true);
    for (name, schema) in &mut requests {
        let takes = |method: &&Described| method.takes.name == *name;
        let row = collector
            .methods
            .iter()
            .find(takes)
            .map(|method| method.row);
        describe_unknown(schema, row);
    }
    // Of a type that is both taken and returned, it is said what is taken: less is
    // required then, and what is not known is refused.
    schemas.extend(requests);
    add_statuses(&mut schemas);
    schemas.values_mut().for_each(simplify);
    for method in &mut collector.methods {
        simplify(&mut method.returns.schema);
    }
    schemas.sort_keys();
    Contract {
        methods: collector.methods,
        schemas,
    }
}

struct Collector {
    methods: Vec<Described>,
    requests: SchemaGenerator,
    results: SchemaGenerator,
}

impl Visitor for Collector {
    fn see<T: JsonSchema, R: JsonSchema, O: JsonSchema>(
        &mut self,
        method: &'static Method<T, R, O>,
        doc: &str,
    ) {
        let doc = unwrapped(doc);
        let (summary, description) = doc.split_once("\n\n").unwrap_or((&doc, ""));
        self.methods.push(Described {
            row: method,
            summary: summary.into(),
            description: description.into(),
            takes: type_of::<T>(&mut self.requests),
            options: type_of::<O>(&mut self.requests),
            returns: type_of::<R>(&mut self.results),
        });
    }
}

fn type_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Type {
    Type {
        name: T::schema_name().into(),
        schema: generator.subschema_for::<T>().into(),
    }
}

/// Says what becomes of fields that are not known in what a method takes, or in an
/// object of it.
fn describe_unknown(schema: &mut Value, row: Option<&Row>) {
    for name in row.map_or(&[][..], Row::meaningless) {
        schema["properties"][name] = json!({ "description": MEANINGLESS });
    }
    if schema["type"] == "object" && row.is_none_or(Row::refuses_unknown) {
        schema["additionalProperties"] = false.into();
    }
}

/// What may be absent from a result is absent rather than null.
pub(super) fn drop_null_of_optional(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, property) in properties(schema) {
        if !required.contains(&Value::from(name.as_str())) {
            drop_null(property);
        }
    }
}

/// Defaults are for what is taken.
fn drop_defaults(schema: &mut Value) {
    for (_, property) in properties(schema) {
        if let Some(fields) = property.as_object_mut() {
            fields.remove("default");
        }
    }
}

/// Says with which HTTP status each code travels.
fn add_statuses(schemas: &mut Map<String, Value>) {
    let words = schemas
        .get_mut("ErrorCode")
        .and_then(|it| it.get_mut("oneOf"));
    for word in words.and_then(Value::as_array_mut).into_iter().flatten() {
        let code = ErrorCode::deserialize(&word["const"]).ok();
        if let (Some(code), Some(text)) = (code, word["description"].as_str()) {
            word["description"] = format!("({}) {text}", code.http_status()).into();
        }
    }
}

/// The same schema without null.
pub(super) fn drop_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|it| !it.is_null());
    }
    let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) else {
        return;
    };
    any.retain(|it| it["type"] != "null");
    if let [only] = any.as_mut_slice() {
        let only = only.take();
        let fields = schema.as_object_mut().into_iter();
        for fields in fields {
            fields.remove("anyOf");
            fields.extend(only.as_object().cloned().unwrap_or_default());
        }
    }
}

/// The properties of an object's schema.
pub(super) fn properties(schema: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flatten()
}

/// Brings a schema and all that is in it into the form that readers of OpenAPI expect.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(simplify),
        Value::Object(fields) => {
            fields.values_mut().for_each(simplify);
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = unwrapped(text);
            }
            // OpenAPI has no names for the widths of integers.
            if let Some(Value::String(format)) = fields.get("format") {
                match format.as_str() {
                    "uint32" => {
                        fields.entry("maximum").or_insert_with(|| u32::MAX.into());
                        fields.remove("format");
                    }
                    "date-time" => {}
                    _ => {
                        fields.remove("format");
                    }
                }
            }
            join_words(fields);
        }
        _ => {}
    }
}

/// Makes one list of words of those that stand alone, and keeps what each means.
fn join_words(fields: &mut Map<String, Value>) {
    let Some(Value::Array(words)) = fields.get("oneOf") else {
        return;
    };
    let meaning = |word: &Value| {
        let value = word["const"].as_str()?.to_owned();
        let meaning = word["description"].as_str().unwrap_or_default();
        Some((
            Value::from(value.as_str()),
            format!("- `{value}`: {meaning}"),
        ))
    };
    let Some(words) = words.iter().map(meaning).collect::<Option<Vec<_>>>() else {
        return;
    };
    let (values, meanings): (Vec<_>, Vec<_>) = words.into_iter().unzip();
    let description = fields.get("description").and_then(Value::as_str);
    let description = format!(
        "{}\n\n{}",
        description.unwrap_or_default(),
        meanings.join("\n")
    );
    fields.remove("oneOf");
    fields.insert("type".into(), "string".into());
    fields.insert("enum".into(), values.into());
    fields.insert("description".into(), description.trim_start().into());
}

/// Documentation without the line breaks inside its paragraphs.
fn unwrapped(doc: &str) -> String {
    let paragraphs = doc.trim().split("\n\n").map(|paragraph| {
        let lines = paragraph.lines().map(str::trim);
        let mut text = String::new();
        for line in lines {
            if !text.is_empty() {
                text.push(if line.starts_with("- ") { '\n' } else { ' ' });
            }
            text.push_str(line);
        }
        text
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
