use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_two_triples_share_an_encoding(
        left in ("[a-z.]{1,4}", "[a-z.]{1,4}", proptest::collection::vec(any::<u8>(), 1..5)),
        right in ("[a-z.]{1,4}", "[a-z.]{1,4}", proptest::collection::vec(any::<u8>(), 1..5)),
    ) {
        let encode = |(tenant, cache, key): &(String, String, Vec<u8>)| {
            triple(
                &TenantId::parse(tenant).expect("the strategy makes valid names"),
                &CacheName::parse(cache).expect("the strategy makes valid names"),
                key,
            )
        };
        prop_assert_eq!(encode(&left) == encode(&right), left == right);
    }
}

#[test]
fn keys_are_equal_only_with_the_same_scope_and_bytes() {
    let hasher = KeyHasher::random();
    let key = hasher.key(ScopeId(1), b"k").to_key();
    assert!(hasher.key(ScopeId(1), b"k").equivalent(&key));
    assert!(!hasher.key(ScopeId(2), b"k").equivalent(&key));
    assert!(!hasher.key(ScopeId(1), b"kk").equivalent(&key));
    assert_eq!(key.borrow().to_key(), key);
}

#[test]
fn a_key_that_collides_in_its_hash_alone_is_another_key() {
    let mine = KeyRef {
        hash: 7,
        scope: ScopeId(1),
        key: b"a",
    };
    for other in [
        KeyRef {
            hash: 7,
            scope: ScopeId(2),
            key: b"a",
        },
        KeyRef {
            hash: 7,
            scope: ScopeId(1),
            key: b"b",
        },
    ] {
        assert!(!mine.equivalent(&other.to_key()));
    }
}
