//! A [`Deserializer`] that refuses what it would have to ignore.
//!
//! It can, because it has the fields of an object and the names that its type
//! knows before it hands over any. `#[serde(flatten)]` hides those names: types of
//! requests do without it.

use std::{convert::Infallible, fmt};

use serde::{
    Deserializer,
    de::{
        self, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::request::{input::Input, nearest::nearest};

/// What becomes of fields that a method does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnknownFields {
    /// They are refused, except for these, which are ignored whatever they hold.
    Refused {
        /// Their names.
        but: &'static [&'static str],
    },
    /// They are ignored, unless they may have been meant to be ones that it knows.
    Ignored,
}

impl UnknownFields {
    /// Whether the field called `name` is one of `known`, or is to be ignored.
    fn judge(self, name: &str, known: &'static [&'static str]) -> Result<bool, Problem> {
        if known.contains(&name) {
            return Ok(true);
        }
        let nearest = nearest(name, known);
        let is_ignored = match self {
            Self::Refused { but } => but.contains(&name),
            Self::Ignored => nearest.is_none(),
        };
        if is_ignored {
            return Ok(false);
        }
        Err(Problem::Unknown(UnknownField {
            name: name.to_owned(),
            nearest,
            known,
        }))
    }
}

/// Why an input is not what a method takes.
#[derive(Debug)]
pub(super) enum Problem {
    /// It has a field that is not known.
    Unknown(UnknownField),
    /// Anything else, in words.
    Other(String),
}

/// A field that is not known where it stands.
#[derive(Debug)]
pub(super) struct UnknownField {
    pub(super) name: String,
    pub(super) nearest: Option<&'static str>,
    pub(super) known: &'static [&'static str],
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown(field) => &field.name,
            Self::Other(problem) => problem,
        })
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::Other(problem.to_string())
    }

    fn invalid_type(met: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let met = match met {
            Unexpected::Unit => Unexpected::Other("null"),
            met => met,
        };
        Self::custom(format_args!("invalid type: {met}, expected {expected}"))
    }
}

/// Reads an [`Input`].
pub(super) struct Reader {
    input: Input,
    unknown: UnknownFields,
}

impl Reader {
    /// `unknown` is for the fields of the input itself; in what they hold,
    /// unknown ones are refused.
    pub(super) fn new(input: Input, unknown: UnknownFields) -> Self {
        Self { input, unknown }
    }

    /// With a number in place of a parameter that is one.
    fn number(mut self) -> Self {
        if let Input::Parameter(text) = &self.input
            && let Ok(number) = text.parse()
        {
            self.input = Input::Number(number);
        }
        self
    }
}

impl<'de> IntoDeserializer<'de, Problem> for Input {
    type Deserializer = Reader;

    fn into_deserializer(self) -> Reader {
        Reader::new(self, UnknownFields::Refused { but: &[] })
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.input {
            Input::Null => visitor.visit_unit(),
            Input::Bool(value) => visitor.visit_bool(value),
            Input::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Input::Text(text) | Input::Parameter(text) => visitor.visit_string(text),
            Input::List(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter())),
            Input::Fields(fields) => visitor.visit_map(MapDeserializer::new(fields.into_iter())),
            Input::Other(other) => {
                Err(de::Error::invalid_type(Unexpected::Other(&other), &visitor))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _type: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let Input::Fields(fields) = self.input else {
            return self.deserialize_any(AnObject).map(|never| match never {});
        };
        let mut wanted = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            if self.unknown.judge(&name, known)? {
                wanted.push((name, value));
            }
        }
        visitor.visit_map(MapDeserializer::new(wanted.into_iter()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.input {
            Input::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _type: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _type: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.input {
            Input::Text(word) | Input::Parameter(word) => {
                visitor.visit_enum(word.into_deserializer())
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.input {
            Input::Parameter(text) => match text.as_str() {
                "true" | "1" | "" => visitor.visit_bool(true),
                "false" | "0" => visitor.visit_bool(false),
                _ => Err(de::Error::custom("must be true or false")),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number().deserialize_any(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number().deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number().deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

/// Expects an object where something else stands.
struct AnObject;

impl Visitor<'_> for AnObject {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
}
