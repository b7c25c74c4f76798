//! Where a secret is that goes along with requests.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Bytes of a file with a secret.
const SECRET_MAX: u64 = 64 << 10;

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Here.
    Text(String),
    /// In a file, which is read whenever it is needed: those who rotate secrets change it.
    File(PathBuf),
}

impl SecretSource {
    /// The file that it is in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// The secret: one word.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read(&self) -> io::Result<String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => {
                let of_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                let mut text = String::new();
                let file = File::open(path).map_err(of_path)?;
                file.take(SECRET_MAX).read_to_string(&mut text).map_err(of_path)?;
                text.trim().to_owned()
            }
        };
        let is_fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit { Ok(text) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no token: one word")) }
    }
}

/// Without the secret.
impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = SecretSource::File(path.clone());
        assert!(source.read().unwrap_err().to_string().contains("token"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(source.read().unwrap(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(source.read().unwrap(), "two");
        std::fs::write(&path, "two words").unwrap();
        assert!(source.read().is_err());
        assert!(!format!("{:?}", SecretSource::Text("secret".to_owned())).contains("secret"));
    }
}
