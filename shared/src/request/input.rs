//! What was sent, before a method reads it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use crate::error::{ErrorCode, Result, from_json};

/// What was sent: what JSON has, and what else queries and JavaScript have. Fields
/// keep their order, and stand twice if they were sent twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Input {
    /// Nothing, said aloud.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// Text.
    Text(String),
    /// The text of a query parameter: a number, or yes or no, where the method takes that.
    Parameter(String),
    /// One after the other.
    List(Vec<Input>),
    /// By name.
    Fields(Vec<(String, Input)>),
    /// What no method takes, in words.
    Other(String),
}

impl Input {
    /// No fields at all.
    pub const EMPTY: Self = Self::Fields(Vec::new());

    /// Reads the body of a request.
    pub fn from_json(text: &str, code: ErrorCode) -> Result<Self> {
        from_json(text, code)
    }

    /// Takes the parameters of a query, which are decoded.
    pub fn from_query<N: Into<String>, V: Into<String>>(
        parameters: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let field = |(name, value): (N, V)| (name.into(), Self::Parameter(value.into()));
        Self::Fields(parameters.into_iter().map(field).collect())
    }

    /// The same with one more field, if it is an object.
    #[must_use]
    pub fn with(mut self, name: &str, value: Self) -> Self {
        if let Self::Fields(fields) = &mut self {
            fields.push((name.to_owned(), value));
        }
        self
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Input, E> {
        Ok(Input::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Input, E> {
        Ok(Input::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Input, E> {
        Ok(Input::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Input, E> {
        Ok(Input::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Input, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Input, E> {
        Ok(Input::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Input, E> {
        Ok(Input::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Input, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Input::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Input, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = entries.next_entry()? {
            fields.push(field);
        }
        Ok(Input::Fields(fields))
    }
}

impl From<f64> for Input {
    /// A number, an integer if it is one that every double can hold exactly.
    fn from(number: f64) -> Self {
        const MAX_SAFE_INTEGER: f64 = crate::number::MAX_SAFE_INTEGER as f64;
        if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
            return Self::Number((number as i64).into());
        }
        Number::from_f64(number).map_or_else(|| Self::Other(number.to_string()), Self::Number)
    }
}
