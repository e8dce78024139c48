//! Names and their addresses, from a TOML file: `Jack = "127.0.0.1:8081"`.

use std::{fs, net::SocketAddr, path::Path};

use services::escape::escaped;

use super::failure::Failure;

/// Who there is without a file.
const BUILT_IN: [&str; 4] = ["taibai", "Jedan", "Jack", "John"];
const BUILT_IN_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);

/// A directory of names, in the order of its file.
#[derive(Debug)]
pub(super) struct Contacts(Vec<(String, SocketAddr)>);

impl Contacts {
    /// Reads a file; without one, the built-in names.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let names = BUILT_IN.iter();
            return Ok(Self(
                names
                    .map(|name| ((*name).to_owned(), BUILT_IN_ADDRESS))
                    .collect(),
            ));
        };
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::input(format_args!("the directory {}", path.display()), &error)
        })?;
        Self::parse(&text).map_err(|why| Failure::data(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| error.to_string())?;
        let entries = table.into_iter().map(|(name, value)| {
            let address = value.as_str().and_then(|text| text.parse().ok());
            match address {
                Some(address) => Ok((name, address)),
                None => Err(format!(
                    "`{}` needs an address such as \"127.0.0.1:8081\", not {value}",
                    escaped(&name)
                )),
            }
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err("there is no name in it; a line is `Jack = \"127.0.0.1:8081\"`".to_owned());
        }
        Ok(Self(entries))
    }

    /// The address of a name, or one that is written as such.
    pub(super) fn find(&self, name: &str) -> Option<SocketAddr> {
        let known = self.0.iter().find(|(known, _)| known == name);
        known
            .map(|(_, address)| *address)
            .or_else(|| name.parse().ok())
    }

    /// All names, to be shown.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self
            .0
            .iter()
            .map(|(name, _)| escaped(name).to_string())
            .collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_and_what_is_wrong_with_it_is_said() {
        let contacts = Contacts::parse("\"小明\" = \"127.0.0.1:9\"\nb = \"[::1]:8\"").unwrap();
        assert_eq!(contacts.names(), "小明, b");
        assert_eq!(contacts.find("b"), "[::1]:8".parse().ok());
        assert_eq!(contacts.find("127.0.0.1:7"), "127.0.0.1:7".parse().ok());
        assert_eq!(contacts.find("x"), None);
        for (text, told) in [
            ("", "no name"),
            ("a = 1", "needs an address"),
            ("a = \"localhost\"", "needs an address"),
            ("a =", "TOML parse error at line 1"),
        ] {
            let error = Contacts::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let built_in = Contacts::read(None).unwrap();
        assert_eq!(built_in.names(), "taibai, Jedan, Jack, John");
        assert_eq!(built_in.find("Jack"), "127.0.0.1:8081".parse().ok());
    }
}
