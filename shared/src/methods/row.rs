//! What is said of one method.

use crate::{
    error::{ErrorCode, Result, SandboxError},
    request::{self, Input, UnknownFields},
};
use serde::de::DeserializeOwned;
use strum::IntoStaticStr;

use super::Nothing;

/// One method, whatever it takes.
#[derive(Debug)]
pub struct Row {
    /// As callers write it.
    pub name: &'static str,
    /// The code of what is wrong with a request.
    pub refusal: ErrorCode,
    /// The code of a failure that says nothing about the request.
    pub failure: ErrorCode,
    /// The code of what was asked for by its name and is not there. To a method
    /// that is not asked for something by its name it is a failure like any other.
    pub missing: ErrorCode,
    /// What else it fails with.
    pub other: &'static [ErrorCode],
    /// How it is called over HTTP, if it is.
    pub route: Option<Route>,
    /// What it takes over RPC, if it is called like that.
    pub arguments: Option<&'static [Argument]>,
    /// The HTTP status of its success.
    pub status: u16,
    /// Whether it starts a container that is stopped.
    pub starts_container: bool,
    /// What it streams, as server-sent events, to callers that accept them.
    pub streams: Option<Stream>,
    /// Whether it can be asked later what became of it.
    pub is_journaled: bool,
    /// Whether it is about all sandboxes: its route is not below one.
    pub is_of_all: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
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
    pub fn as_str(self) -> &'static str {
        self.into()
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

/// One argument of a method over RPC, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// An object whose fields are what the method takes.
    Fields(&'static str),
    /// The same, without those that are arguments of their own; it may be omitted.
    Rest(&'static str),
    /// The field of this name.
    Field(&'static str),
    /// The field `id`, or a handle that has one.
    Handle(&'static str),
    /// An object with options of the call.
    Options(&'static str),
    /// The content of a file.
    Content(&'static str),
}

/// What a method streams as server-sent events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The progress of an operation, and its result or its error in the end.
    Progress,
    /// The output of a command, and its exit code or an error in the end.
    Output,
}

/// Codes that any method can fail with, whatever it is about: what is wrong before
/// there is a method, and what befalls the Durable Object.
pub const OF_ANY_METHOD: [ErrorCode; 5] = [
    ErrorCode::Unauthorized,
    ErrorCode::NotConfigured,
    ErrorCode::InvalidRequest,
    ErrorCode::OperationInterrupted,
    ErrorCode::InternalError,
];

/// Building a row.
impl Row {
    const fn new(name: &'static str, refusal: ErrorCode) -> Self {
        Self {
            name,
            refusal,
            failure: ErrorCode::InternalError,
            missing: ErrorCode::InternalError,
            other: &[],
            route: None,
            arguments: None,
            status: 200,
            starts_container: false,
            streams: None,
            is_journaled: false,
            is_of_all: false,
            unknown: UnknownFields::Refused { but: &[] },
        }
    }

    /// A method that has to do with backups.
    pub(super) const fn backups(name: &'static str) -> Self {
        Self::new(name, ErrorCode::InvalidBackupConfig)
    }

    /// Any other.
    pub(super) const fn sandbox(name: &'static str) -> Self {
        Self::new(name, ErrorCode::InvalidRequest)
    }

    /// A method that is asked for a file.
    pub(super) const fn files(name: &'static str) -> Self {
        Self::sandbox(name)
            .failing(ErrorCode::FileOperationFailed)
            .missing(ErrorCode::FileNotFound)
            .starting_the_container()
    }

    /// Fails with this code.
    pub(super) const fn failing(mut self, code: ErrorCode) -> Self {
        self.failure = code;
        self.missing = code;
        self
    }

    /// Fails with this code if what it was asked for is not there.
    pub(super) const fn missing(mut self, code: ErrorCode) -> Self {
        self.missing = code;
        self
    }

    /// Fails with these codes, too.
    pub(super) const fn or(mut self, codes: &'static [ErrorCode]) -> Self {
        self.other = codes;
        self
    }

    /// Takes options of `@cloudflare/sandbox` 0.12, too, that mean nothing here.
    pub(super) const fn or_meaningless(mut self, but: &'static [&'static str]) -> Self {
        self.unknown = UnknownFields::Refused { but };
        self
    }

    /// Takes a handle, with whatever else its owner keeps in it.
    pub(super) const fn in_a_handle(mut self) -> Self {
        self.unknown = UnknownFields::Ignored;
        self
    }

    /// Is called over HTTP like this.
    pub(super) const fn at(mut self, method: HttpMethod, path: &'static str, takes: Part) -> Self {
        self.route = Some(Route {
            method,
            path,
            takes,
        });
        self
    }

    /// Is called over RPC with these arguments.
    pub(super) const fn with(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = Some(arguments);
        self
    }

    /// Answers with this HTTP status instead of 200.
    pub(super) const fn answering(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Starts the container if it is stopped.
    pub(super) const fn starting_the_container(mut self) -> Self {
        self.starts_container = true;
        self
    }

    /// Streams this to callers that accept server-sent events.
    pub(super) const fn streaming(mut self, what: Stream) -> Self {
        self.streams = Some(what);
        self
    }

    /// Is in the journal under the id of the operation, by which a caller whose
    /// answer was lost can ask what became of it.
    pub(super) const fn journaled(mut self) -> Self {
        self.is_journaled = true;
        self
    }

    /// Is asked of all sandboxes: its route is `/v1/sandboxes`.
    pub(super) const fn of_all_sandboxes(mut self) -> Self {
        self.is_of_all = true;
        self
    }
}

impl Row {
    /// The names of options that are accepted, whatever they hold, and ignored.
    pub const fn meaningless(&self) -> &'static [&'static str] {
        match self.unknown {
            UnknownFields::Refused { but } => but,
            UnknownFields::Ignored => &[],
        }
    }

    /// Whether a field that is not known is refused wherever it stands.
    pub const fn refuses_unknown(&self) -> bool {
        matches!(self.unknown, UnknownFields::Refused { .. })
    }

    /// The codes that it fails with, but for `INTERNAL_ERROR`, beside those that any
    /// method can fail with.
    pub fn codes(&self) -> Vec<ErrorCode> {
        let mut codes = vec![self.refusal, self.missing, self.failure];
        codes.extend(self.other);
        if self.starts_container {
            codes.push(ErrorCode::ContainerUnavailable);
        }
        if self.is_journaled {
            codes.push(ErrorCode::OperationInterrupted);
        }
        codes.retain(|code| *code != ErrorCode::InternalError);
        let mut seen = Vec::new();
        codes.retain(|code| {
            !seen.contains(code) && {
                seen.push(*code);
                true
            }
        });
        codes
    }

    /// The error of a failure that says nothing about the request.
    pub fn failed(&self, message: impl Into<String>) -> SandboxError {
        SandboxError::new(self.failure, message)
    }

    /// The error of what is not there.
    pub fn not_found(&self, message: impl Into<String>) -> SandboxError {
        SandboxError::new(self.missing, message)
    }

    /// Refuses any field in a `part` of the request from which this method takes none.
    ///
    /// # Errors
    /// [`Self::refusal`], with the name of the field in `context.field`
    pub fn takes_none(&self, part: &str, input: Input) -> Result<()> {
        self.read_part(part, input).map(|Nothing {}| ())
    }

    /// Reads another part of the request than the one with what the method takes.
    pub(super) fn read_part<T: DeserializeOwned>(&self, part: &str, input: Input) -> Result<T> {
        let part = format!("the {part} of {}", self.name);
        let unknown = UnknownFields::Refused { but: &[] };
        request::read(input, &part, self.refusal, unknown)
    }
}
