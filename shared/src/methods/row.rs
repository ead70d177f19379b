//! What is said of one method.

use crate::{
    error::{ErrorCode, Result},
    request::{self, Input, UnknownFields},
};

use super::Nothing;

/// One method, whatever it takes.
#[derive(Debug)]
pub struct Row {
    /// As callers write it.
    pub name: &'static str,
    /// The code of what is wrong with a request.
    pub code: ErrorCode,
    /// How it is called over HTTP, if it is.
    pub route: Option<Route>,
    /// What it takes over RPC, if it is called like that.
    pub arguments: Option<&'static [Argument]>,
    /// The HTTP status of its success.
    pub status: u16,
    /// Whether it can be followed by server-sent events.
    pub is_followed: bool,
    /// Whether it can be asked later what became of it.
    pub is_journaled: bool,
    pub(super) unknown: UnknownFields,
}

/// A way to a method over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: HttpMethod,
    /// Below `/v1/sandboxes/{name}/`. A segment in braces is a parameter.
    pub path: &'static str,
    /// Where the request says what the method takes.
    pub takes: Part,
}

/// The HTTP methods that routes have, in the order that `Allow` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HttpMethod {
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

impl HttpMethod {
    /// As it is written in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Where an HTTP request says what a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In its body, as JSON.
    Body,
    /// In its query.
    Query,
    /// In its query; the body is a file.
    QueryBesideContent,
    /// In its path, as the field of this name.
    Path(&'static str),
}

/// One argument of a method over RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// An object whose fields are what the method takes.
    Fields,
    /// The field of this name.
    Field(&'static str),
    /// The field `id`, or a handle that has one.
    Handle,
    /// An object with options of the call.
    Options,
    /// The content of a file.
    Content,
}

impl Row {
    pub(super) const fn new(name: &'static str, code: ErrorCode) -> Self {
        Self {
            name,
            code,
            route: None,
            arguments: None,
            status: 200,
            is_followed: false,
            is_journaled: false,
            unknown: UnknownFields::Refused { but: &[] },
        }
    }

    /// Refuses any field in a `part` of the request from which this method takes none.
    ///
    /// # Errors
    /// [`Self::code`], with the name of the field in `context.field`
    pub fn takes_none(&self, part: &str, input: Input) -> Result<()> {
        let part = format!("the {part} of {}", self.name);
        let unknown = UnknownFields::Refused { but: &[] };
        request::read(input, &part, self.code, unknown).map(|Nothing {}| ())
    }
}
