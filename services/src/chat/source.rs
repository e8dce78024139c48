//! Whom a datagram can have come from.

use std::net::SocketAddr;

/// Whether nobody can have sent from `source` what `local` received, so that an answer would go nowhere,
/// to many, or to ourselves.
pub(super) fn is_odd(source: SocketAddr, local: SocketAddr) -> bool {
    let ip = source.ip().to_canonical();
    let to_all = match ip {
        std::net::IpAddr::V4(ip) => ip.is_broadcast(),
        std::net::IpAddr::V6(_) => false,
    };
    let ourselves = source.port() == local.port()
        && (ip == local.ip().to_canonical() || (local.ip().is_unspecified() && ip.is_loopback()));
    source.port() == 0 || ip.is_unspecified() || ip.is_multicast() || to_all || ourselves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_g14_odd_sources_are_told_from_others() {
        let local = "127.0.0.1:8081".parse().unwrap();
        for odd in [
            "127.0.0.1:0",
            "0.0.0.0:9",
            "255.255.255.255:9",
            "224.0.0.1:9",
            "[ff02::1]:9",
            "127.0.0.1:8081",
            "[::ffff:127.0.0.1]:8081",
        ] {
            assert!(is_odd(odd.parse().unwrap(), local), "{odd}");
        }
        for plain in ["127.0.0.1:8082", "192.0.2.1:8081", "[::1]:8081"] {
            assert!(!is_odd(plain.parse().unwrap(), local), "{plain}");
        }
        assert!(is_odd(
            "127.0.0.1:9".parse().unwrap(),
            "0.0.0.0:9".parse().unwrap()
        ));
    }
}
