//! Where everything lies: the constants of the byte table in `mod.rs`, the boot sector and the chains of the FAT.

/// 512 bytes: the only sector size of ours; disks with sectors of 4096 bytes that do not present them as 512 are not for booting.
pub(crate) const SECTOR_BYTES: usize = 512;
/// 304 MiB: three slots and room for what others put there.
pub const PARTITION_BYTES: u64 = 304 << 20;
/// 96 MiB a version: twice what the larger board needs, since the layout of a box stays for its life.
pub const SLOT_BYTES: u64 = 96 << 20;
/// 512 bytes: the note is one sector, and so replaced as a whole.
pub const NOTE_BYTES: usize = SECTOR_BYTES;

/// 8 sectors, 4 KiB: pages of flash media are not written twice.
pub(crate) const CLUSTER_SECTORS: u32 = 8;
pub(crate) const CLUSTER_BYTES: usize = CLUSTER_SECTORS as usize * SECTOR_BYTES;
const SECTORS: u32 = (PARTITION_BYTES / SECTOR_BYTES as u64) as u32;
/// Sector of cluster 2: at 2 MiB, where flash media have a block of their own.
const DATA_SECTOR: u32 = 4096;
const CLUSTERS: u32 = (SECTORS - DATA_SECTOR) / CLUSTER_SECTORS;
pub(crate) const FAT_SECTORS: u32 = ((CLUSTERS + 2) * 4).div_ceil(SECTOR_BYTES as u32);
const RESERVED_SECTORS: u32 = DATA_SECTOR - 2 * FAT_SECTORS;
/// Entries of the FAT in a sector.
const FAT_SECTOR_ENTRIES: u32 = SECTOR_BYTES as u32 / 4;
const SLOT_CLUSTERS: u32 = (SLOT_BYTES / CLUSTER_BYTES as u64) as u32;

pub(crate) const ROOT: u32 = 2;
pub(crate) const EFI: u32 = 3;
pub(crate) const BOOT: u32 = 4;
pub(crate) const LINUX: u32 = 5;
pub(crate) const LOADER: u32 = 6;
pub(crate) const LOADER_CONF: u32 = 7;
pub(crate) const NOTE: u32 = 8;
pub(crate) const ENTRIES: u32 = 9;
pub(crate) const RESET_ENTRY: u32 = 10;
pub(crate) const BOOT_LOADER: u32 = 11;
const FIRST_SLOT: u32 = 1024;
/// Room for the boot loader, about 4 MiB.
pub(crate) const BOOT_LOADER_BYTES_MAX: usize = (FIRST_SLOT - BOOT_LOADER) as usize * CLUSTER_BYTES;

/// Last cluster of a chain.
const END_OF_CHAIN: u32 = 0x0fff_ffff;
/// Boot sector bytes that say how the partition is laid out; before them code, after them what mounting changes.
const GEOMETRY: std::ops::Range<usize> = 11..52;

// FAT32 has at least 65525 clusters; the chains of a slot share no sector of the FAT with anything else; all fits.
const _: () = assert!(CLUSTERS >= 65525);
const _: () = assert!(
    FIRST_SLOT.is_multiple_of(FAT_SECTOR_ENTRIES)
        && SLOT_CLUSTERS.is_multiple_of(FAT_SECTOR_ENTRIES)
);
const _: () = assert!(FIRST_SLOT + 3 * SLOT_CLUSTERS <= CLUSTERS + 2);

/// A fixed extent for one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// What starts when neither of the others does.
    Recovery,
    /// One of the two that take turns.
    A,
    /// The other one.
    B,
}

impl Slot {
    /// All of them, in their order on the medium.
    pub const ALL: [Self; 3] = [Self::Recovery, Self::A, Self::B];

    /// First cluster of the slot, by which its file is known.
    pub(crate) const fn first_cluster(self) -> u32 {
        FIRST_SLOT + self as u32 * SLOT_CLUSTERS
    }

    /// Gives the slot that begins at a cluster.
    pub(crate) fn at_cluster(cluster: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|slot| slot.first_cluster() == cluster)
    }
}

/// Offset in bytes of a cluster.
pub(crate) const fn cluster_offset(cluster: u32) -> u64 {
    (DATA_SECTOR + (cluster - 2) * CLUSTER_SECTORS) as u64 * SECTOR_BYTES as u64
}

/// Offsets in bytes at which a FAT's sector lies that has the entry of a cluster: one a copy.
pub(crate) fn fat_offsets(cluster: u32) -> [u64; 2] {
    [0, FAT_SECTORS].map(|copy| {
        u64::from(RESERVED_SECTORS + copy + cluster / FAT_SECTOR_ENTRIES) * SECTOR_BYTES as u64
    })
}

/// The boot sector.
pub(crate) fn boot_sector() -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    put(&mut sector, 0, b"\xeb\x58\x90COFFER  ");
    put(&mut sector, 11, &(SECTOR_BYTES as u16).to_le_bytes());
    sector[13] = CLUSTER_SECTORS as u8;
    put(&mut sector, 14, &(RESERVED_SECTORS as u16).to_le_bytes());
    sector[16] = 2; // FATs
    sector[21] = 0xf8; // a disk that is not changed
    put(&mut sector, 24, &63u16.to_le_bytes()); // sectors a track, and heads: nobody reads them
    put(&mut sector, 26, &255u16.to_le_bytes());
    put(&mut sector, 32, &SECTORS.to_le_bytes());
    put(&mut sector, 36, &FAT_SECTORS.to_le_bytes());
    put(&mut sector, 44, &ROOT.to_le_bytes());
    put(&mut sector, 48, &1u16.to_le_bytes()); // FSInfo
    put(&mut sector, 50, &6u16.to_le_bytes()); // copy of this sector
    sector[64] = 0x80;
    sector[66] = 0x29; // the three fields that follow are there
    put(&mut sector, 67, &0xc0ff_e200u32.to_le_bytes());
    put(&mut sector, 71, b"COFFER     FAT32   ");
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}

/// Says whether a boot sector is of a partition laid out as here.
pub(crate) fn is_laid_out_so(sector: &[u8; SECTOR_BYTES]) -> bool {
    sector[GEOMETRY] == boot_sector()[GEOMETRY] && sector[510..] == [0x55, 0xaa]
}

/// The FSInfo sector, which leaves open how many clusters are free: nobody may rely on it.
pub(crate) fn fs_info() -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    put(&mut sector, 0, b"RRaA");
    put(&mut sector, 484, b"rrAa\xff\xff\xff\xff\xff\xff\xff\xff");
    put(&mut sector, 508, &[0, 0, 0x55, 0xaa]);
    sector
}

/// A whole FAT before any version is installed.
pub(crate) fn first_fat(boot_loader_bytes: usize) -> Vec<u8> {
    let mut entries = vec![0x0fff_fff8, END_OF_CHAIN];
    entries.extend([END_OF_CHAIN; (BOOT_LOADER - ROOT) as usize]);
    entries.extend(chain(
        BOOT_LOADER,
        boot_loader_bytes.div_ceil(CLUSTER_BYTES) as u32,
    ));
    let mut fat = bytes_of(entries);
    fat.resize(FAT_SECTORS as usize * SECTOR_BYTES, 0);
    fat
}

/// The sectors of a FAT that a slot has for itself, with a file of this length in it.
pub(crate) fn slot_chain(slot: Slot, size_bytes: u64) -> Vec<u8> {
    let clusters = size_bytes.div_ceil(CLUSTER_BYTES as u64) as u32;
    let mut sectors = bytes_of(chain(slot.first_cluster(), clusters));
    sectors.resize(SLOT_CLUSTERS as usize * 4, 0);
    sectors
}

fn chain(first: u32, clusters: u32) -> impl Iterator<Item = u32> {
    (1..=clusters).map(move |next| match next == clusters {
        true => END_OF_CHAIN,
        false => first + next,
    })
}

fn bytes_of(entries: impl IntoIterator<Item = u32>) -> Vec<u8> {
    entries.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Lays bytes into others at an offset.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}
