//! Values of one type as bytes, and what does not fit.

use std::fmt;
use std::fmt::Display;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::loaded::{Body, Item, Loaded};
use crate::value::Value;

/// A value and its type do not fit. Never tells the value's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The cache.
    pub cache: String,
    /// The type.
    pub type_name: &'static str,
    /// Which way it went.
    pub direction: JsonDirection,
    /// What kind of mistake it is, in a word.
    pub what: &'static str,
    /// Where it was noticed: line and column from 1, or zeros.
    pub at: (usize, usize),
}

/// See [`JsonError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonDirection {
    /// From a cached value.
    Decode,
    /// To a cached value.
    Encode,
}

impl Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.at;
        match self.direction {
            JsonDirection::Decode => write!(
                f,
                "cache {}: a value does not decode as {}: {} error at line {line} column {column}",
                self.cache, self.type_name, self.what
            ),
            JsonDirection::Encode => write!(
                f,
                "cache {}: a {} does not encode: {} error",
                self.cache, self.type_name, self.what
            ),
        }
    }
}

impl std::error::Error for JsonError {}

/// A loader's error, or its value's.
pub(super) enum LoadJson<E> {
    Load(E),
    Encode(JsonError),
}

impl<E> LoadJson<E> {
    /// The error that its caller gets.
    pub(super) fn out(self) -> Result<E, Error<E>> {
        match self {
            Self::Load(error) => Ok(error),
            Self::Encode(error) => Err(error.into()),
        }
    }
}

impl<E: Display> Display for LoadJson<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

/// Turns values of one type into bytes and back, in the name of one cache.
pub(super) struct Codec<T> {
    cache: std::sync::Arc<str>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            of: PhantomData,
        }
    }
}

impl<T> Codec<T> {
    pub(super) fn new(cache: &str) -> Self {
        Self {
            cache: cache.into(),
            of: PhantomData,
        }
    }

    fn error(&self, direction: JsonDirection, error: &serde_json::Error) -> JsonError {
        use serde_json::error::Category;
        JsonError {
            cache: self.cache.to_string(),
            type_name: std::any::type_name::<T>(),
            direction,
            // Not the error's own words: they quote the value.
            what: match error.classify() {
                Category::Io => "input/output",
                Category::Syntax => "syntax",
                Category::Data => "type",
                Category::Eof => "end of input",
            },
            at: (error.line(), error.column()),
        }
    }

    pub(super) fn decode(&self, value: Value) -> Result<Value<T>, JsonError>
    where
        T: DeserializeOwned,
    {
        value.try_map(|bytes| {
            serde_json::from_slice(&bytes)
                .map_err(|error| self.error(JsonDirection::Decode, &error))
        })
    }

    pub(super) fn encode(&self, item: Item<T>) -> Result<Item<Bytes>, JsonError>
    where
        T: Serialize,
    {
        item.try_map(|value| {
            serde_json::to_vec(&value)
                .map(Bytes::from)
                .map_err(|error| self.error(JsonDirection::Encode, &error))
        })
    }

    pub(super) fn encode_loaded(&self, loaded: Loaded<T>) -> Result<Loaded, JsonError>
    where
        T: Serialize,
    {
        Ok(match loaded.0 {
            Body::Item(item) => self.encode(item)?.into(),
            Body::Absent { fresh } => Loaded(Body::Absent { fresh }),
        })
    }
}
