//! What only our own clients know: a secret that is asked for before the first frame.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use services::hmac::{self, Form, HmacAcceptor, Secret};

use super::Listen;

/// `hmac`: the course's check.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { secret_file = \"key\" }"
)]
pub struct Hmac {
    /// The file that holds the secret.
    pub secret_file: PathBuf,
    /// The hash; SHA-256 if not set.
    #[serde(default)]
    pub digest: Digest,
}

/// `hmac_mutual`: both sides prove themselves.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { secret_file = \"key\" }"
)]
pub struct HmacMutual {
    /// The file that holds the secret.
    pub secret_file: PathBuf,
}

/// The hash of the course's check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digest {
    /// 32 bytes.
    #[default]
    Sha256,
    /// 16 bytes: what scripts from before Python 3.8 send.
    Md5,
}

impl Listen {
    /// The file of the secret, and the form of the check, if there is one.
    pub(crate) fn secret(&self) -> Option<(&Path, Form)> {
        match (&self.hmac, &self.hmac_mutual) {
            (Some(hmac), _) => {
                let digest = match hmac.digest {
                    Digest::Sha256 => hmac::Digest::Sha256,
                    Digest::Md5 => hmac::Digest::Md5,
                };
                Some((&hmac.secret_file, Form::OneWay(digest)))
            }
            (None, Some(hmac)) => Some((&hmac.secret_file, Form::Mutual)),
            (None, None) => None,
        }
    }

    /// The check, with its secret read.
    pub(crate) fn acceptor(&self) -> anyhow::Result<Option<HmacAcceptor>> {
        let acceptor = |(file, form)| Ok(HmacAcceptor::new(Secret::read(file)?, form));
        self.secret().map(acceptor).transpose()
    }

    /// Makes the file's path a whole one.
    pub(super) fn resolve_secret(&mut self, folder: &Path) {
        let files = [
            self.hmac.as_mut().map(|hmac| &mut hmac.secret_file),
            self.hmac_mutual.as_mut().map(|hmac| &mut hmac.secret_file),
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }
}
