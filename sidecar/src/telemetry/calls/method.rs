//! The methods that are counted: their names and whose they are.

use millpond_proto::envoy::service::ratelimit::v3::rate_limit_service_server;
use millpond_proto::v1::{cache_service_server, limit_service_server};

/// A service whose calls are counted by method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Cache,
    Limit,
    Envoy,
}

impl Service {
    /// As paths have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cache => cache_service_server::SERVICE_NAME,
            Self::Limit => limit_service_server::SERVICE_NAME,
            Self::Envoy => rate_limit_service_server::SERVICE_NAME,
        }
    }
}

macro_rules! methods {
    ($($id:ident = $service:ident $service_name:literal $name:literal;)*) => {
        /// A method. No two services have one of the same name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Method {
            $($id,)*
        }

        impl Method {
            pub(crate) const ALL: [Self; [$($name),*].len()] = [$(Self::$id),*];

            /// By number.
            pub(crate) const NAMES: [&str; Self::ALL.len()] = [$($name),*];

            /// By its name.
            pub(crate) fn named(service: Service, name: &str) -> Option<Self> {
                match (service, name) {
                    $((Service::$service, $name) => Some(Self::$id),)*
                    _ => None,
                }
            }

            pub(crate) fn service(self) -> Service {
                match self {
                    $(Self::$id => Service::$service,)*
                }
            }

            /// The service and the method, as a span is named.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Self::$id => concat!($service_name, "/", $name),)*
                }
            }
        }
    };
}

methods! {
    Hello = Cache "millpond.v1.CacheService" "Hello";
    Get = Cache "millpond.v1.CacheService" "Get";
    GetMany = Cache "millpond.v1.CacheService" "GetMany";
    Fill = Cache "millpond.v1.CacheService" "Fill";
    Renew = Cache "millpond.v1.CacheService" "Renew";
    Set = Cache "millpond.v1.CacheService" "Set";
    Invalidate = Cache "millpond.v1.CacheService" "Invalidate";
    Acquire = Limit "millpond.v1.LimitService" "Acquire";
    Peek = Limit "millpond.v1.LimitService" "Peek";
    Commit = Limit "millpond.v1.LimitService" "Commit";
    Release = Limit "millpond.v1.LimitService" "Release";
    Grant = Limit "millpond.v1.LimitService" "Grant";
    ShouldRateLimit = Envoy "envoy.service.ratelimit.v3.RateLimitService" "ShouldRateLimit";
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether it may wait: for another's load, or for its turn.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Get | Self::GetMany | Self::Acquire)
    }

    /// Whether it has one message and one reply, and so a time from one to the other.
    pub(crate) fn is_unary(self) -> bool {
        !matches!(self, Self::Grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_path_and_no_name_is_used_twice() {
        for method in Method::ALL {
            let (service, name) = method.path().split_once('/').unwrap();
            assert_eq!(service, method.service().name());
            assert_eq!(Method::named(method.service(), name), Some(method));
            let same = Method::NAMES.iter().filter(|other| **other == name);
            assert_eq!(same.count(), 1, "{name}");
        }
        assert_eq!(Method::named(Service::Cache, "Acquire"), None);
    }
}
