//! The caller's place in a trace, as it goes out with each call.
//!
//! The caller's tracer is asked, and not one of ours: which library it is, and whether
//! there is one, is nothing to this crate. What it says is checked, so that a mistake
//! costs a span and never a call.
//!
//! Cost: nothing where no tracer is named; else the question and 55 bytes a call.

use std::fmt;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};

/// The metadata key, by W3C Trace Context.
pub(super) const TRACEPARENT: &str = "traceparent";

/// Asks the caller's tracer.
#[derive(Clone)]
pub(super) struct Tracer(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl Tracer {
    pub(super) fn new(current: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(current))
    }

    /// What the call that begins now is to carry.
    pub(super) fn traceparent(&self) -> Option<MetadataValue<Ascii>> {
        let said = (self.0)()?;
        MetadataValue::try_from(said).ok().filter(is_traceparent)
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// `version "-" trace-id "-" parent-id "-" trace-flags` in lower-case hexadecimal,
/// neither identifier all zeros, no version `ff`; versions after `00` may say more
/// behind another `-`.
fn is_traceparent(value: &MetadataValue<Ascii>) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.splitn(5, '-');
    let mut hex = |digits| {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts
            .next()
            .filter(|part| part.len() == digits && part.bytes().all(is_digit))
    };
    let (version, trace, parent, flags) = (hex(2), hex(32), hex(16), hex(2));
    let (Some(version), Some(trace), Some(parent), Some(_)) = (version, trace, parent, flags)
    else {
        return false;
    };
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    let ends = version != "00" || parts.next().is_none();
    version != "ff" && ends && !is_zero(trace) && !is_zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn sent(said: &str) -> bool {
        let said = said.to_owned();
        let value = Tracer::new(move || Some(said.clone())).traceparent();
        value.is_some()
    }

    #[test]
    fn a_traceparent_is_sent_as_it_is() {
        let said = format!("00-{TRACE}-{PARENT}-01");
        let tracer = Tracer::new({
            let said = said.clone();
            move || Some(said.clone())
        });
        let value = tracer.traceparent().expect("it is one");
        assert_eq!(value.as_bytes(), said.as_bytes());
        assert!(sent(&format!("00-{TRACE}-{PARENT}-00")));
        assert!(sent(&format!("01-{TRACE}-{PARENT}-01-what-is-yet-to-come")));
        assert!(Tracer::new(|| None).traceparent().is_none());
    }

    #[test]
    fn what_is_no_traceparent_is_not_sent() {
        let (zeros, upper) = ("0".repeat(32), TRACE.to_uppercase());
        for said in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-01 "),
            format!("00-{TRACE}-{PARENT}-01\n"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{upper}-{PARENT}-01"),
            format!("00-{PARENT}-{TRACE}-01"),
            format!("00-{TRACE}-{PARENT}-0é"),
        ] {
            assert!(!sent(&said), "{said:?}");
        }
    }
}
