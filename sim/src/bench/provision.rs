//! Identities per second in a large batch, beside the floor, and the memory it takes.
//!
//! The floor is what cannot be left out: a key pair, a certificate's signature and the key's sealing, on
//! any core; and the rows of device and journal in a file, with the plainest statement that holds
//! their bytes, on one core, since there is one writer. They overlap, but on the same cores: the batch
//! takes at least as long as the writer alone, and at least the CPU time of all of it by the number of
//! cores.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_fleet::{Actor, ActorKind};
use vouchsafe_keystore::Sealer;
use vouchsafe_manufacturer::{Batch, Config, Factory, Output, Progress, Serials};
use vouchsafe_net::Clock;

use super::floor::{Operation, cost, timed};
use super::measure::{resident, show, verdict};

/// Identities of the batch.
const IDENTITIES: u64 = 100_000;

/// What is asked for.
const TARGET: f64 = 0.5;

/// Bytes of one device row and of one journal row, as this batch writes them.
const DEVICE_ROW: usize = 900;
const JOURNAL_ROW: usize = 700;

/// Rows of one plain transaction.
const ROWS_TOGETHER: usize = 1000;

/// Prints the table.
pub(crate) async fn run() -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let dir = tempfile::Builder::new()
        .prefix("vouchsafe-bench-")
        .tempdir()?;
    let key = cost(Operation::Generate)?;
    let signature = cost(Operation::Sign)?;
    let sealing = sealing()?;
    let rows = plain_rows(dir.path()).await?;
    let crypto = key + signature + sealing;
    let together = (crypto + rows.cpu) / u32::try_from(cores)?;
    let floor = together.max(rows.elapsed);

    let maker = dir.path().join("maker");
    let mut config = Config {
        name: "Maker".to_owned(),
        ..Config::default()
    };
    config.masa_url = "masa.example".to_owned();
    config.keys.store = "file:keys?sealing-key=sealing.key".to_owned();
    let clock = Clock::system();
    vouchsafe_manufacturer::init(&maker, &config, &clock)?;
    let factory = Factory::open(&maker, clock).await?;
    let actor = Actor::new(ActorKind::Factory, "bench");
    let batch = Batch {
        serials: Serials::Numbered {
            prefix: "BATCH-".to_owned(),
            first: 1,
            count: IDENTITIES,
            digits: 7,
        },
        model: Some("bench".to_owned()),
        algorithm: "ecdsa-p256".to_owned(),
        output: Output::Bundle {
            file: dir.path().join("keys.bundle"),
            sealing_key: dir.path().join("bundle.key"),
        },
        bootstrapping: None,
    };
    let own = std::process::id();
    // A tenth in, everything that will be held is held.
    let (early, late) = (AtomicU64::new(0), AtomicU64::new(0));
    let watch = |progress: &Progress| {
        let now = resident(own);
        late.store(now, Ordering::Relaxed);
        if progress.made <= IDENTITIES / 10 {
            early.store(now, Ordering::Relaxed);
        }
    };
    let begun = Instant::now();
    let made = factory.provision_batch(&actor, &batch, &watch).await?;
    let elapsed = begun.elapsed();
    factory.close().await;
    ensure!(
        made.made == IDENTITIES,
        "{} identities were made",
        made.made
    );

    let each = elapsed / u32::try_from(IDENTITIES)?;
    let per_second = |each: Duration| format!("{:.0}", 1.0 / each.as_secs_f64());
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["", "each", "per second"]);
    table.add_row(["key pair, one core", &show(key), &per_second(key)]);
    table.add_row([
        "certificate signature, one core",
        &show(signature),
        &per_second(signature),
    ]);
    table.add_row([
        "sealing a key, one core",
        &show(sealing),
        &per_second(sealing),
    ]);
    table.add_row(["plain rows, CPU", &show(rows.cpu), &per_second(rows.cpu)]);
    table.add_row([
        &format!("these four on {cores} cores"),
        &show(together),
        &per_second(together),
    ]);
    table.add_row([
        "plain rows, durable",
        &show(rows.elapsed),
        &per_second(rows.elapsed),
    ]);
    table.add_row([
        "floor: the slower of the last two",
        &show(floor),
        &per_second(floor),
    ]);
    table.add_row(["provision, records durable", &show(each), &per_second(each)]);
    println!("\nA batch of {IDENTITIES} identities:\n{table}");
    println!(
        "ratio to the floor: {}",
        verdict(floor.as_secs_f64() / each.as_secs_f64(), TARGET, true)
    );
    println!(
        "memory: {:.0} MB after a tenth, {:.0} MB at the end",
        early.into_inner() as f64 / 1e6,
        late.into_inner() as f64 / 1e6
    );
    Ok(())
}

fn sealing() -> anyhow::Result<Duration> {
    let sealer = Sealer::new(&[7; 32])?;
    let key = vouchsafe_keystore::generate_pkcs8(vouchsafe_keystore::Algorithm::EcdsaP256)?;
    Ok(timed(|| sealer.seal("label", key.expose()).is_ok()))
}

/// What plain rows take, each.
struct Rows {
    elapsed: Duration,
    cpu: Duration,
}

/// Rows of the same size, written by SQLite through Python's module, which hands it rows in C and
/// whose statements are prepared once, `synchronous=FULL`.
async fn plain_rows(dir: &Path) -> anyhow::Result<Rows> {
    let file = dir.join("plain.db");
    let script = format!(
        "import sqlite3, sys, time\n\
         db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
         db.execute('pragma journal_mode=wal'); db.execute('pragma synchronous=full')\n\
         db.execute('create table device (id text primary key, row blob)')\n\
         db.execute('create table journal (position integer primary key, row blob)')\n\
         d, j, n, k = b'd' * {}, b'j' * {}, 40000, {}\n\
         begun, cpu = time.monotonic(), time.process_time()\n\
         for first in range(0, n, k):\n\
         \x20 db.execute('begin immediate')\n\
         \x20 db.executemany('insert into device values (?, ?)', (('%032x' % i, d) for i in range(first, first + k)))\n\
         \x20 db.executemany('insert into journal (row) values (?)', ((j,) for i in range(k)))\n\
         \x20 db.execute('commit')\n\
         print((time.monotonic() - begun) / n, (time.process_time() - cpu) / n)\n",
        DEVICE_ROW, JOURNAL_ROW, ROWS_TOGETHER
    );
    let done = tokio::process::Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(&file)
        .output()
        .await
        .context("python3 writes the plain rows")?;
    ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let printed = String::from_utf8(done.stdout)?;
    let (elapsed, cpu) = printed
        .trim()
        .split_once(' ')
        .context("python3 prints two numbers")?;
    Ok(Rows {
        elapsed: Duration::from_secs_f64(elapsed.parse()?),
        cpu: Duration::from_secs_f64(cpu.parse()?),
    })
}
