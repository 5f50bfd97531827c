use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use millpond_core::cache::Mode;

use super::*;
use crate::config::table::{POLICY, PROCESS};

const MIB: u64 = 1 << 20;

fn time(text: &str) -> Result<Duration, Wrong> {
    let form = Time {
        least: Duration::ZERO,
        most: Duration::from_secs(30 * 86_400),
    };
    form.read(text)
}

#[test]
fn a_time_is_read_and_shown_as_people_write_it() {
    for (text, millis) in [
        ("0", 0),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1d", 86_400_000),
        ("1m500ms", 60_500),
    ] {
        assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        assert_eq!(shown(Duration::from_millis(millis)), text);
    }
    assert_eq!(time("90s").map(shown).as_deref(), Ok("1m30s"));
    assert_eq!(time("0s"), Ok(Duration::ZERO));
    for wrong in [
        "", "s", "1.5s", "-1s", "1 s", "1S", "1us", "1w", "s1", "1s-",
    ] {
        assert_eq!(time(wrong), Err(Wrong::Form), "{wrong}");
    }
    for bare in ["1", "1s30"] {
        let no_unit = Err(Wrong::Because("which has no unit"));
        assert_eq!(time(bare), no_unit, "{bare}");
    }
    for long in [
        "31d",
        "4294967295d",
        "4294967296ms",
        "99999999999999999999d",
    ] {
        let too_long = Err(Wrong::Because("which is too long"));
        assert_eq!(time(long), too_long, "{long}");
    }
}

#[test]
fn bytes_are_read_as_kubernetes_and_as_people_write_them() {
    let size = Size {
        least: 0,
        most: 4 * MIB,
    };
    for (text, bytes) in [
        ("0", 0),
        ("1048576", MIB),
        ("1Mi", MIB),
        ("1MiB", MIB),
        ("1024Ki", MIB),
        ("1.048576e+06", MIB),
        ("4e0", 4),
    ] {
        assert_eq!(size.read(text).map(|read| read as u64), Ok(bytes), "{text}");
    }
    for wrong in [
        "",
        "Mi",
        "-1",
        "1.5Mi",
        "1e-3",
        "1.0000001e+03",
        "1e400",
        "0x10",
        "1_000",
    ] {
        assert!(size.read(wrong).is_err(), "{wrong}");
    }
    assert_eq!(size.read("5MiB"), Err(Wrong::Because("which is too much")));
    let amount = Amount { least: MIB };
    let all = amount.read("100%").expect("this machine has memory");
    let half = amount.read("50%").expect("and half of it");
    assert!(half <= all / 2 && half >= all / 2 - 2 * MIB && half.is_multiple_of(MIB));
    for wrong in ["0%", "101%", "%", "1.5%", "-5%", "1048575"] {
        assert!(amount.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_address_is_an_ip_address_or_this_machine_or_off() {
    let form = Address { example: "" };
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
    for (text, address) in [
        ("127.0.0.1:7470", Some(at("127.0.0.1:7470"))),
        ("localhost:0", Some(at("127.0.0.1:0"))),
        ("[::1]:7470", Some(at("[::1]:7470"))),
        ("off", None),
        ("false", None),
        ("no", None),
    ] {
        assert_eq!(form.read(text), Ok(address), "{text}");
    }
    for wrong in [
        "",
        "7470",
        ":7470",
        "::1:7470",
        "127.0.0.1",
        "127.0.0.1:65536",
        "db:5432",
        "on",
        "true",
        "127.0.0.1:",
        "http://127.0.0.1:7470",
    ] {
        assert!(form.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_socket_has_room_for_the_name_it_is_made_under() {
    let long = format!("/{}", "s".repeat(102));
    let socket = SocketPath.read(&long).expect("103 bytes").expect("on");
    assert_eq!(socket.path, PathBuf::from(&long));
    assert!(!socket.optional, "it was asked for");
    assert!(SocketPath.read(&format!("{long}s")).is_err());
    let written = SocketPath
        .read("unix:/run/p.sock")
        .expect("as clients write it");
    assert_eq!(written.expect("on").path, PathBuf::from("/run/p.sock"));
    assert!(SocketPath.read("/run/").is_err());
}

#[test]
fn a_collectors_address_carries_no_secret_and_is_not_repeated_when_it_does() {
    let read = |text: &str| Endpoint.read(text);
    let collector = Some("http://otel:4317".to_owned());
    assert_eq!(read("http://otel:4317/"), Ok(collector));
    assert_eq!(read("off"), Ok(None));
    for secret in [
        "http://me:secret@otel:4317",
        "https://se cret@otel",
        "token@otel",
    ] {
        assert!(matches!(read(secret), Err(Wrong::Hidden(_))), "{secret}");
    }
    for wrong in [
        "",
        "otel:4317",
        "https://otel:4317",
        "http://otel/v1/traces",
        "ftp://otel",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn words_survive_readers_that_make_booleans_of_them() {
    let words = &[("on", Mode::On), ("bypass", Mode::Bypass)];
    let form = Word { words, not: &[] };
    for on in ["on", "true", "yes"] {
        assert_eq!(form.read(on), Ok(Mode::On));
    }
    for wrong in ["On", "ON", "off", "false", ""] {
        assert!(form.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn numbers_are_within_their_bounds_and_are_numbers() {
    let share = Ratio {
        most: 1.0,
        included: false,
    };
    for (text, number) in [("0", 0.0), ("0.1", 0.1), ("1e-3", 0.001), (".5", 0.5)] {
        assert_eq!(share.read(text), Ok(number));
    }
    for wrong in [
        "", "1", "1.0", "-0.1", "nan", "NaN", ".nan", "inf", "1e999", "0,1", "10%",
    ] {
        assert!(share.read(wrong).is_err(), "{wrong}");
    }
    let many = Count::<u16> {
        most: 1_000,
        auto: Some(|| 7),
    };
    assert_eq!(many.read("auto"), Ok(7));
    assert_eq!(many.read("1e+03"), Ok(1_000));
    for wrong in [
        "0",
        "-1",
        "1001",
        "65537",
        "1.5",
        "",
        "7 ",
        "99999999999999999999999",
    ] {
        assert!(many.read(wrong).is_err(), "{wrong}");
    }
}

/// What is shown by default can be read again, in every field.
#[test]
fn every_default_is_of_its_form() {
    let mut config = crate::config::Config::default();
    for field in PROCESS.iter() {
        let shown = field.slot.show(&mut config);
        assert_eq!(
            field.slot.put(&shown, &mut config),
            Ok(()),
            "{}",
            field.path()
        );
        assert_eq!(field.slot.show(&mut config), shown, "{}", field.path());
    }
    for defaults in [
        millpond_core::cache::Policy::declared(),
        millpond_core::cache::Policy::undeclared(),
    ] {
        let mut policy = defaults;
        for field in POLICY.iter() {
            let shown = field.slot.show(&mut policy);
            assert_eq!(
                field.slot.put(&shown, &mut policy),
                Ok(()),
                "{}",
                field.name
            );
        }
        assert_eq!(policy, defaults, "nothing is lost by being written");
    }
}

#[test]
fn every_field_has_a_flag_and_a_variable_of_its_own() {
    let flags: std::collections::HashSet<_> = PROCESS.iter().map(|field| field.flag()).collect();
    assert_eq!(flags.len(), PROCESS.len());
    // What Kubernetes puts into every container for a service called millpond.
    for field in PROCESS.iter() {
        let variable = field.variable();
        assert!(
            !variable.starts_with("MILLPOND_SERVICE_") && !variable.starts_with("MILLPOND_PORT")
        );
    }
}
