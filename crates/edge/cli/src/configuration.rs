//! `config` of the controller and of the manufacturer, and `--set` of `init`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output::Printer;

/// Commands on a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read a configuration and say what is wrong with it
    Check {
        /// The file; by default the config.toml of the data folder
        file: Option<PathBuf>,
    },
    /// Show the configuration in force, defaults filled in
    Show {
        /// The file; by default the config.toml of the data folder
        file: Option<PathBuf>,
    },
    /// Show every key with its default
    Default,
}

/// A configuration file of one of the programs.
pub(crate) trait Configuration: Serialize + DeserializeOwned + Default {
    fn read(file: &Path) -> Result<Self, String>;
    fn check(&self) -> Result<(), String>;
    fn to_toml(&self) -> String;
}

impl Configuration for vouchsafe_controller::config::Config {
    fn read(file: &Path) -> Result<Self, String> {
        Self::read(file).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<(), String> {
        self.check().map_err(|error| error.to_string())
    }

    fn to_toml(&self) -> String {
        self.to_toml()
    }
}

pub(crate) fn run<C: Configuration>(
    command: &ConfigCommand,
    dir: Option<&Path>,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check { file } => {
            let file = file_of(file.as_deref(), dir)?;
            C::read(&file).map_err(Failure::from_config)?;
            printer.show(&json!({ "ok": true, "file": file }), |_| {
                format!("{} is good", file.display())
            })?;
        }
        ConfigCommand::Show { file } => {
            let config = C::read(&file_of(file.as_deref(), dir)?).map_err(Failure::from_config)?;
            printer.show(&config, C::to_toml)?;
        }
        ConfigCommand::Default => printer.show(&C::default(), C::to_toml)?,
    }
    Ok(Exit::Done)
}

/// A configuration from a file, or the default one, with single values replaced.
pub(crate) fn compose<C: Configuration>(
    file: Option<&Path>,
    settings: &[Setting],
) -> Result<C, Failure> {
    let refused = |message: String| Failure::from_config(message);
    let start: C = match file {
        Some(file) => C::read(file).map_err(refused)?,
        None => C::default(),
    };
    let mut whole: toml::Table =
        toml::from_str(&start.to_toml()).map_err(|error| refused(error.to_string()))?;
    for setting in settings {
        setting.apply(&mut whole).map_err(refused)?;
    }
    let config: C = whole
        .try_into()
        .map_err(|error: toml::de::Error| refused(error.to_string()))?;
    config.check().map_err(refused)?;
    Ok(config)
}

/// One value of a configuration: `registrar.listen=127.0.0.1:0`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    path: Vec<String>,
    value: toml::Value,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or("write KEY=VALUE, such as registrar.announce=false")?;
        let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err("the key is a dotted name, such as registrar.announce".to_owned());
        }
        // What is no TOML value is meant as text: addresses and paths without quotes.
        let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.trim().to_owned()));
        Ok(Self { path, value })
    }
}

impl Setting {
    fn apply(&self, whole: &mut toml::Table) -> Result<(), String> {
        let (last, sections) = self.path.split_last().ok_or("the key is empty")?;
        let mut table = whole;
        for section in sections {
            table = table
                .entry(section.as_str())
                .or_insert_with(|| toml::Table::new().into())
                .as_table_mut()
                .ok_or_else(|| format!("{section} is no section"))?;
        }
        table.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

fn file_of(file: Option<&Path>, dir: Option<&Path>) -> Result<PathBuf, Failure> {
    match (file, dir) {
        (Some(file), _) => Ok(file.to_owned()),
        (None, Some(dir)) => Ok(dir.join("config.toml")),
        (None, None) => Err(Failure::usage("which configuration?")
            .next_step("give the file, or --dir with the data folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_controller::config::Config;

    #[test]
    fn single_values_are_replaced_whatever_their_type() {
        let settings: Vec<Setting> = [
            "registrar.listen=127.0.0.1:0",
            "registrar.announce=false",
            "registrar.announce_on=[\"loopback\"]",
            "name=Plant 7",
            "ldevid.lifetime=90d",
            "masa.connections=4",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let config: Config = compose(None, &settings).unwrap();
        assert_eq!(config.registrar.listen.to_string(), "127.0.0.1:0");
        assert!(!config.registrar.announce);
        assert_eq!(config.registrar.announce_on, ["loopback"]);
        assert_eq!(config.name, "Plant 7");
        assert_eq!(config.ldevid.lifetime.to_string(), "90d");
        assert_eq!(config.masa.connections, 4);
    }

    #[test]
    fn an_unknown_key_and_a_value_out_of_range_are_refused() {
        for text in [
            "registrar.lissten=1",
            "nam=x",
            "masa.connections=0",
            "name.x=1",
        ] {
            let setting: Setting = text.parse().unwrap();
            let refused = compose::<Config>(None, &[setting]).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage, "{text}");
        }
        assert!("name".parse::<Setting>().is_err());
        assert!("registrar..x=1".parse::<Setting>().is_err());
    }
}
