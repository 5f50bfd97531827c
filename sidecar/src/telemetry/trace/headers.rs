//! A call's metadata, as the propagator reads it.

use opentelemetry::propagation::Extractor;
use tonic::metadata::{KeyRef, MetadataMap};

pub(super) struct Headers<'a>(pub(super) &'a MetadataMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        let ascii = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(ascii).collect()
    }
}
