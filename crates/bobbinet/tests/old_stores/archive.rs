//! A store's folder as one file: it has empty folders, which git does not keep.

use std::{fs::File, path::Path};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

pub(crate) fn pack(folder: &Path, file: &Path) {
    let mut archive = tar::Builder::new(GzEncoder::new(File::create_new(file).unwrap(), Compression::best()));
    // Neither whose machine it was nor when.
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(".", folder).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
}

pub(crate) fn unpack(file: &Path, folder: &Path) {
    tar::Archive::new(GzDecoder::new(File::open(file).unwrap())).unpack(folder).unwrap();
}
