//! Labels: a QR code that says which device this is.
//!
//! # What it says
//!
//! A device with a bootstrapping key: its URI for Wi-Fi Easy Connect and nothing else, as every
//! scanner of such codes expects (Wi-Fi Easy Connect 3.0 §5.2). Who can read it can try to take the
//! device; it names the serial number.
//!
//! Any other device, or where it is asked for: `vouchsafe:1?serial=SERIAL&manufacturer=ID&idevid=FINGERPRINT`: the serial number, percent-encoded
//! except for letters, digits, `-`, `.`, `_` and `~`; the manufacturer's id, 32 hexadecimal digits;
//! the SHA-256 of the birth certificate, 64 hexadecimal digits. Nothing of it is secret: whoever
//! holds the device may read it, and it proves nothing that the device does not prove itself.
//!
//! # Forms
//!
//! [`png`] is the bare code, [`svg`] the code with serial number and model in plain text beneath,
//! [`pdf`] a sheet of A4 pages with three labels in a row, for printing and cutting.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};
use vouchsafe_fleet::{Device, Digest};

use crate::factory::FactoryError;

/// Light modules around a code (ISO/IEC 18004: four).
const QUIET: usize = 4;

/// Pixels of a module in a PNG.
const PIXELS: usize = 8;

/// Labels in a row and rows on a page.
const COLUMNS: usize = 3;
const ROWS: usize = 5;

/// A4 in points, and the size of one label's place.
const PAGE: (f64, f64) = (595.0, 842.0);
const MARGIN: f64 = 36.0;

/// What is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The text in the code.
    pub text: String,
    /// The serial number, beneath it.
    pub serial: String,
    /// The model, beneath that.
    pub model: Option<String>,
}

impl Label {
    /// The label of a device: its bootstrapping URI where there is one.
    #[must_use]
    pub fn of(device: &Device, dpp_uri: Option<&str>) -> Self {
        Self {
            text: dpp_uri.map_or_else(|| identity(device), str::to_owned),
            serial: device.serial.clone(),
            model: device.model.clone(),
        }
    }
}

/// The text that says who the device is.
fn identity(device: &Device) -> String {
    format!(
        "vouchsafe:1?serial={}&manufacturer={}&idevid={}",
        percent_encoded(&device.serial),
        device.manufacturer,
        device.idevid_sha256.unwrap_or(Digest::ZERO),
    )
}

/// The bare code as a PNG, one bit deep.
///
/// # Errors
/// [`FactoryError::Label`].
pub fn png(label: &Label) -> Result<Vec<u8>, FactoryError> {
    let code = Code::of(label)?;
    let side = (code.side + 2 * QUIET) * PIXELS;
    let bytes_in_row = side.div_ceil(8);
    let mut image = Vec::with_capacity(bytes_in_row * side);
    for y in 0..side {
        let mut row = vec![0_u8; bytes_in_row];
        for (x, byte) in (0..side).map(|x| (x, x / 8)) {
            if !code.is_dark(x / PIXELS, y / PIXELS)
                && let Some(byte) = row.get_mut(byte)
            {
                *byte |= 0x80 >> (x % 8);
            }
        }
        image.extend_from_slice(&row);
    }
    let failed = |error: png::EncodingError| FactoryError::Label(error.to_string());
    let pixels = u32::try_from(side).map_err(|error| FactoryError::Label(error.to_string()))?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, pixels, pixels);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// The code with serial number and model beneath, as SVG: one unit is one module.
///
/// # Errors
/// [`FactoryError::Label`].
pub fn svg(label: &Label) -> Result<String, FactoryError> {
    let code = Code::of(label)?;
    let side = code.side + 2 * QUIET;
    let height = side + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {height}\" \
         width=\"{side}mm\" height=\"{height}mm\" shape-rendering=\"crispEdges\">\n\
         <rect width=\"{side}\" height=\"{height}\" fill=\"#fff\"/>\n<path d=\""
    );
    for (x, y, length) in code.runs() {
        let _infallible = write!(svg, "M{x} {y}h{length}v1h-{length}z");
    }
    svg.push_str("\"/>\n");
    let lines = [
        (Some(&label.serial), 4_u8, side + 1),
        (label.model.as_ref(), 3, side + 6),
    ];
    for (line, size, y) in lines {
        if let Some(line) = line {
            let middle = side as f64 / 2.0;
            let room = side as f64 - 4.0;
            let squeezed = if width_of(line) * f64::from(size) > room {
                format!(" textLength=\"{room}\" lengthAdjust=\"spacingAndGlyphs\"")
            } else {
                String::new()
            };
            let line = xml(line);
            let _infallible = writeln!(
                svg,
                "<text x=\"{middle}\" y=\"{y}\" font-family=\"Helvetica, Arial, sans-serif\" \
                 font-size=\"{size}\" text-anchor=\"middle\"{squeezed}>{line}</text>",
            );
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// A sheet of labels as PDF, A4, three in a row.
///
/// # Errors
/// [`FactoryError::Label`].
pub fn pdf(labels: &[Label]) -> Result<Vec<u8>, FactoryError> {
    let mut pages = Vec::new();
    for some in labels.chunks(COLUMNS * ROWS) {
        let mut page = String::new();
        for (place, label) in some.iter().enumerate() {
            draw(&mut page, place, label)?;
        }
        pages.push(page);
    }
    if pages.is_empty() {
        pages.push(String::new());
    }
    Ok(document(&pages))
}

/// One label: the code, the serial number and the model beneath, a thin frame to cut along.
fn draw(page: &mut String, place: usize, label: &Label) -> Result<(), FactoryError> {
    let width = 2.0_f64.mul_add(-MARGIN, PAGE.0) / COLUMNS as f64;
    let height = 2.0_f64.mul_add(-MARGIN, PAGE.1) / ROWS as f64;
    let left = ((place % COLUMNS) as f64).mul_add(width, MARGIN);
    let bottom = PAGE.1 - MARGIN - ((place / COLUMNS) as f64 + 1.0) * height;
    let _infallible = writeln!(
        page,
        "0.75 G 0.25 w {left:.2} {bottom:.2} {width:.2} {height:.2} re S 0 g"
    );
    let code = Code::of(label)?;
    let modules = (code.side + 2 * QUIET) as f64;
    let module = (height - 34.0).min(width - 8.0) / modules;
    let corner = left + module.mul_add(-modules, width) / 2.0;
    let top = bottom + height - 2.0;
    for (x, y, length) in code.runs() {
        let (x, y) = (x as f64, y as f64 + 1.0);
        let _infallible = writeln!(
            page,
            "{:.3} {:.3} {:.3} {module:.3} re",
            module.mul_add(x, corner),
            module.mul_add(-y, top),
            length as f64 * module,
        );
    }
    page.push_str("f\n");
    let lines = [
        (Some(label.serial.as_str()), 9.0, 18.0),
        (label.model.as_deref(), 7.0, 8.0),
    ];
    for (line, size, above) in lines {
        if let Some(line) = line {
            let natural = width_of(line) * size;
            let squeeze = ((width - 8.0) / natural).min(1.0);
            let size = size * squeeze;
            let x = natural.mul_add(-squeeze, width).mul_add(0.5, left);
            let y = bottom + above;
            let line = pdf_text(line);
            let _infallible = writeln!(page, "BT /F {size:.2} Tf {x:.2} {y:.2} Td ({line}) Tj ET");
        }
    }
    Ok(())
}

/// The least that ISO 32000-1 §7.5 asks for: header, objects, cross-reference table, trailer.
fn document(pages: &[String]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    let mut kids = String::new();
    for page in pages {
        let number = objects.len() + 1;
        let _infallible = write!(kids, "{number} 0 R ");
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {} {}] \
             /Resources << /Font << /F 3 0 R >> >> /Contents {} 0 R >>",
            PAGE.0,
            PAGE.1,
            number + 1
        ));
        objects.push(format!(
            "<< /Length {} >>\nstream\n{page}\nendstream",
            page.len() + 1
        ));
    }
    if let Some(tree) = objects.get_mut(1) {
        *tree = format!("<< /Type /Pages /Kids [ {kids}] /Count {} >>", pages.len());
    }
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (index, object) in objects.iter().enumerate() {
        let _infallible = writeln!(table, "{:010} 00000 n ", file.len());
        let _infallible = write!(file, "{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let start = file.len();
    let _infallible = write!(
        file,
        "{table}trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    );
    file.into_bytes()
}

/// The modules of a code.
struct Code {
    side: usize,
    dark: Vec<bool>,
}

impl Code {
    fn of(label: &Label) -> Result<Self, FactoryError> {
        let code = QrCode::with_error_correction_level(&label.text, EcLevel::M)
            .map_err(|error| FactoryError::Label(error.to_string()))?;
        Ok(Self {
            side: code.width(),
            dark: code
                .to_colors()
                .into_iter()
                .map(|color| color == Color::Dark)
                .collect(),
        })
    }

    /// Whether a module is dark, counted with the quiet zone.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let (Some(x), Some(y)) = (x.checked_sub(QUIET), y.checked_sub(QUIET)) else {
            return false;
        };
        x < self.side && self.dark.get(y * self.side + x).copied().unwrap_or(false)
    }

    /// Horizontal runs of dark modules: x, y and length, counted with the quiet zone.
    fn runs(&self) -> Vec<(usize, usize, usize)> {
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        let end = self.side + QUIET;
        for (y, x) in (QUIET..end).flat_map(|y| (QUIET..end).map(move |x| (y, x))) {
            if !self.is_dark(x, y) {
                continue;
            }
            match runs.last_mut() {
                Some((start, row, length)) if *row == y && *start + *length == x => *length += 1,
                _ => runs.push((x, y, 1)),
            }
        }
        runs
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn xml(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            other if other.is_control() => String::new(),
            other => other.to_string(),
        })
        .collect()
}

/// Helvetica in WinAnsi holds Latin text; anything else is shown as a question mark.
fn pdf_text(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '(' | ')' | '\\' => format!("\\{character}"),
            ' '..='~' => character.to_string(),
            _ => "?".to_owned(),
        })
        .collect()
}

/// Widths of Helvetica's characters from space to tilde, in thousandths of the font's size, as its
/// public metrics give them.
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// The width of a line in Helvetica of size one; what it does not hold is drawn as a question mark.
fn width_of(line: &str) -> f64 {
    line.chars()
        .map(|character| {
            let index = u32::from(character).checked_sub(0x20);
            let width = index.and_then(|index| HELVETICA.get(usize::try_from(index).ok()?));
            f64::from(*width.unwrap_or(&556)) / 1000.0
        })
        .sum()
}
