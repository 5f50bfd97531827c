//! What the generated types promise to the code that decodes with them.

use bytes::Bytes;
use millpond_proto::v1::{
    FillOutcome, GetReply, Load, Reason, SetRequest, fill_outcome::Outcome, get_reply::Found,
};
use prost::Message;

/// Whether `part` lies inside `whole`: it was borrowed, not copied.
fn borrows(whole: &Bytes, part: &Bytes) -> bool {
    let whole = whole.as_ptr_range();
    let part = part.as_ptr_range();
    whole.start <= part.start && part.end <= whole.end
}

#[test]
fn a_decoded_key_and_value_borrow_the_buffer_they_came_in() {
    let sent = SetRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: Bytes::from_static(b"user:42"),
        value: Bytes::from(vec![7; 4096]),
        ..SetRequest::default()
    };
    let wire = Bytes::from(sent.encode_to_vec());
    let received = SetRequest::decode(wire.clone()).unwrap();
    assert_eq!(received, sent);
    assert!(borrows(&wire, &received.key), "the key was copied");
    assert!(borrows(&wire, &received.value), "the value was copied");
}

#[test]
fn an_empty_value_is_found_and_no_value_is_not() {
    let empty = GetReply {
        found: Some(Found::Value(Bytes::new())),
        ..GetReply::default()
    };
    let received = GetReply::decode(empty.encode_to_vec().as_slice()).unwrap();
    assert_eq!(received.found, Some(Found::Value(Bytes::new())));

    let nothing = GetReply::decode(&[][..]).unwrap();
    assert_eq!(nothing.found, None);
}

#[test]
fn what_an_older_caller_leaves_out_is_the_harmless_choice() {
    assert_eq!(Load::default(), Load::Never);
    assert_eq!(Reason::default(), Reason::Unspecified);
    assert_eq!(FillOutcome::default().outcome(), Outcome::Unspecified);
    assert_eq!(SetRequest::default().if_version, None);
}
