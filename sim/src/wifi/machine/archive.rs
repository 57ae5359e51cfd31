//! The archive format that kernels unpack at boot: `newc` of cpio, as the kernel's documentation
//! (`driver-api/early-userspace/buffer-format`) has it. Each entry is a header of 13 numbers in
//! hexadecimal, a name that ends with a zero byte, and the contents, each padded to four bytes.

use anyhow::Context as _;

/// The entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// File type and permissions of a folder, and of a file that can be run.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds an empty folder.
    pub(super) fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER, &[], 0);
    }

    /// Adds a file that may be run.
    pub(super) fn program(&mut self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(contents.len()).with_context(|| format!("{name} is too big"))?;
        self.entry(name, PROGRAM, contents, length);
        Ok(())
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[], 0);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8], length: u32) {
        self.entries += 1;
        let inode = self.entries;
        let named = u32::try_from(name.len() + 1).unwrap_or_default();
        // Magic, inode, mode, owner, group, links, time, size, device (two), special device (two),
        // length of the name, checksum.
        let numbers = [inode, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, named, 0];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_begin_at_multiples_of_four_and_the_last_one_says_so() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.program("bin/x", b"12345").unwrap();
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let magic = bytes.windows(6).enumerate();
        let starts: Vec<usize> = magic
            .filter(|(_, window)| *window == b"070701")
            .map(|(at, _)| at)
            .collect();
        // 110 bytes of header and "bin\0" make 114, padded to 116.
        assert_eq!(starts, [0, 116, 116 + 116 + 8]);
        assert!(bytes.windows(10).any(|window| window == TRAILER.as_bytes()));
    }
}
