//! Pictures of labels: the text of a QR code in a PNG or a JPEG.
//!
//! The picture may be a drawing or a photograph. It comes from people's phones and may be anything,
//! so its size is bounded before its pixels are held.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

use png::{ColorType, Decoder, Limits, Transformations};
use rqrr::PreparedImage;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::printable;

/// Most pixels of a picture: what a phone's camera makes.
const MAX_PIXELS: usize = 24_000_000;

/// Longest side of a JPEG in pixels.
const MAX_SIDE: usize = 16_384;

/// How every JPEG begins: the start of the image, and of a marker after it (ITU-T T.81 §B.2.1).
const JPEG: &[u8] = &[0xff, 0xd8, 0xff];

/// Memory that the PNG decoder may take, in bytes.
const MAX_DECODER_BYTES: usize = 16 << 20;

/// A picture in grey.
struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// The one bootstrapping URI in a picture.
pub(crate) fn uri_in(file: &Path) -> Result<String, Failure> {
    let found = texts_in(&input::read(file)?).map_err(|why| Failure::file(file, why))?;
    let uris: Vec<&String> = found
        .iter()
        .filter(|text| text.trim_start().to_ascii_uppercase().starts_with("DPP:"))
        .collect();
    let refused = |code, message: String| {
        Failure::new(
            Exit::Refused,
            code,
            format!("{}: {message}", file.display()),
        )
    };
    match (uris.as_slice(), found.first()) {
        ([uri], _) => Ok((*uri).clone()),
        ([], None) => Err(refused("no-code", "no QR code can be read in it".to_owned()).next_step(
            "take the picture straight from above, in focus, with a white margin around the code; \
             or paste the text with --dpp-uri",
        )),
        ([], Some(other)) => {
            let text: String = printable(other).chars().take(80).collect();
            let message = format!("its QR code is no bootstrapping URI: {text}");
            Err(refused("not-dpp", message)
                .next_step("Wi-Fi Easy Connect codes begin with DPP:; is it another label?"))
        }
        (several, _) => {
            let message = format!("{} different labels are in it", several.len());
            Err(refused("several-codes", message).next_step("one label a picture"))
        }
    }
}

/// The texts of all QR codes in a picture, each once.
fn texts_in(file: &[u8]) -> Result<BTreeSet<String>, String> {
    let picture = match file.starts_with(JPEG) {
        true => Grey::read_jpeg(file)?,
        false => Grey::read_png(file)?,
    };
    let mut texts = BTreeSet::new();
    // A code that is too large or too noisy as it is may be read from a smaller picture.
    for scale in [1, 2, 4, 8] {
        let (width, height) = (picture.width / scale, picture.height / scale);
        if width == 0 || height == 0 {
            break;
        }
        let mut prepared = PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            picture.mean(x * scale, y * scale, scale)
        });
        for grid in prepared.detect_grids() {
            if let Ok((_, text)) = grid.decode() {
                texts.insert(text);
            }
        }
        if !texts.is_empty() {
            break;
        }
    }
    Ok(texts)
}

impl Grey {
    fn read_jpeg(jpeg: &[u8]) -> Result<Self, String> {
        let unreadable =
            |error: &dyn std::fmt::Debug| format!("is no JPEG that can be read: {error:?}");
        let options = DecoderOptions::default()
            .set_max_width(MAX_SIDE)
            .set_max_height(MAX_SIDE)
            .jpeg_set_out_colorspace(ColorSpace::Luma);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        decoder
            .decode_headers()
            .map_err(|error| unreadable(&error))?;
        let info = decoder.info().ok_or_else(|| unreadable(&"no size"))?;
        let (width, height) = (usize::from(info.width), usize::from(info.height));
        let pixels = width.saturating_mul(height);
        if pixels > MAX_PIXELS {
            return Err(format!("has more than {MAX_PIXELS} pixels"));
        }
        let decoded = decoder.decode().map_err(|error| unreadable(&error))?;
        if decoded.len() != pixels {
            return Err(unreadable(&"other colours than it says"));
        }
        Ok(Self {
            width,
            height,
            pixels: decoded,
        })
    }

    fn read_png(png: &[u8]) -> Result<Self, String> {
        let unreadable = |error: png::DecodingError| {
            format!("is neither a JPEG nor a PNG that can be read: {error}")
        };
        let limits = Limits {
            bytes: MAX_DECODER_BYTES,
        };
        let mut decoder = Decoder::new_with_limits(Cursor::new(png), limits);
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(unreadable)?;
        let (width, height) = reader.info().size();
        let (width, height) = (width as usize, height as usize);
        if width.saturating_mul(height) > MAX_PIXELS {
            return Err(format!("has more than {MAX_PIXELS} pixels"));
        }
        let size = reader.output_buffer_size().ok_or("is too large")?;
        let mut buffer = vec![0; size];
        let frame = reader.next_frame(&mut buffer).map_err(unreadable)?;
        buffer.truncate(frame.buffer_size());
        let samples = match frame.color_type {
            ColorType::Grayscale => 1,
            ColorType::GrayscaleAlpha => 2,
            ColorType::Rgb => 3,
            ColorType::Rgba => 4,
            ColorType::Indexed => return Err("has colours that cannot be read".to_owned()),
        };
        let pixels = buffer.chunks_exact(samples).map(grey).collect();
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// The mean of a square of pixels.
    fn mean(&self, left: usize, top: usize, side: usize) -> u8 {
        let mut sum = 0_usize;
        for y in top..top + side {
            for x in left..left + side {
                let pixel = self.pixels.get(y * self.width + x);
                sum += usize::from(pixel.copied().unwrap_or(u8::MAX));
            }
        }
        u8::try_from(sum / (side * side)).unwrap_or(u8::MAX)
    }
}

/// Grey of one pixel (ITU-R BT.601), on white paper where it is transparent.
fn grey(pixel: &[u8]) -> u8 {
    let (level, opaque) = match *pixel {
        [level] => (u32::from(level), 255),
        [level, opaque] => (u32::from(level), u32::from(opaque)),
        [red, green, blue] => (luma(red, green, blue), 255),
        [red, green, blue, opaque] => (luma(red, green, blue), u32::from(opaque)),
        _ => (255, 255),
    };
    let on_white = (level * opaque + 255 * (255 - opaque)) / 255;
    u8::try_from(on_white).unwrap_or(u8::MAX)
}

fn luma(red: u8, green: u8, blue: u8) -> u32 {
    (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "DPP:C:81/6;M:5254005828e5;I:SN=LAMP-1;V:2;\
                       K:MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADURzxmttZoIRIPWGoQMV00XHWCAQIhXruVWOz0NjlkIA=;;";

    /// A photograph of a code: turned by some degrees, shaded, noisy, in colour.
    fn photograph(texts: &[&str], degrees: f64, noise: i32) -> Vec<u8> {
        const SIDE: usize = 900;
        let codes: Vec<_> = texts
            .iter()
            .map(|text| {
                let code = qrcode::QrCode::new(text).unwrap();
                (code.width(), code.to_colors())
            })
            .collect();
        let (width, height) = (SIDE * codes.len().max(1), SIDE);
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let mut random = 12345_u32;
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let middle = SIDE as f64 / 2.0;
                let (dx, dy) = ((x % SIDE) as f64 - middle, y as f64 - middle);
                let (u, v) = (cosine * dx + sine * dy, cosine * dy - sine * dx);
                let dark = codes.get(x / SIDE).is_some_and(|(side, colors)| {
                    let module = SIDE as f64 * 0.6 / *side as f64;
                    let place = |w: f64| w / module + *side as f64 / 2.0;
                    let (column, row) = (place(u), place(v));
                    let inside = |w: f64| w >= 0.0 && w < *side as f64;
                    inside(column)
                        && inside(row)
                        && colors[row as usize * side + column as usize] == qrcode::Color::Dark
                });
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let wobble = (random >> 16) as i32 % (2 * noise + 1) - noise;
                let shade = 60 - (x * 60 / width) as i32;
                let level = if dark { 40 } else { 230 } - shade + wobble;
                let level = level.clamp(0, 255) as u8;
                pixels.extend([level, level.saturating_sub(10), level.saturating_sub(20)]);
            }
        }
        encode(width, height, ColorType::Rgb, &pixels)
    }

    fn encode(width: usize, height: usize, color: ColorType, pixels: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
        encoder.set_color(color);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(pixels)
            .unwrap();
        file
    }

    fn uri(picture: &[u8]) -> Result<String, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("label");
        std::fs::write(&file, picture).unwrap();
        uri_in(&file)
    }

    /// Labels of one device, turned and in colour, as a camera writes them.
    const JPEGS: [&[u8]; 2] = [
        include_bytes!("../../tests/pictures/baseline.jpg"),
        include_bytes!("../../tests/pictures/progressive.jpg"),
    ];

    #[test]
    fn a_jpeg_is_read_or_refused() {
        for jpeg in JPEGS {
            let read = uri(jpeg).unwrap();
            assert!(
                read.starts_with("DPP:C:81/6;") && read.ends_with(";;"),
                "{read}"
            );
            for length in [3, 20, jpeg.len() / 8, jpeg.len() / 4] {
                assert!(uri(&jpeg[..length]).is_err(), "{length} bytes");
            }
        }
        // One that says it is huge is refused before anything is held for it.
        let mut bomb = JPEGS[0].to_vec();
        let frame = bomb.windows(2).position(|it| it == [0xff, 0xc0]).unwrap();
        bomb[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
        assert_eq!(uri(&bomb).unwrap_err().to_json()["error"]["code"], "file");
    }

    #[test]
    fn a_photographed_label_is_read() {
        for (degrees, noise) in [(0.0, 0), (7.0, 20), (-30.0, 30), (90.0, 40)] {
            let png = photograph(&[URI], degrees, noise);
            assert_eq!(uri(&png).unwrap(), URI, "{degrees} degrees, noise {noise}");
        }
    }

    #[test]
    fn what_is_no_label_is_refused_by_name() {
        let code = |png: &[u8]| {
            let json = uri(png).unwrap_err().to_json();
            json["error"]["code"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            code(&photograph(&["vouchsafe:1?serial=A"], 0.0, 0)),
            "not-dpp"
        );
        assert_eq!(code(&photograph(&[], 0.0, 40)), "no-code");
        let other = URI.replace("LAMP-1", "LAMP-2");
        assert_eq!(code(&photograph(&[URI, &other], 0.0, 0)), "several-codes");
        assert_eq!(code(b"\xff\xd8\xff\xe0 a JPEG"), "file");
        assert_eq!(code(b""), "file");
        let whole = photograph(&[URI], 0.0, 0);
        assert_eq!(code(&whole[..whole.len() / 2]), "file");
        // A bomb: it says that it is huge, and is refused before anything is held for it.
        let mut bomb = encode(1, 1, ColorType::Grayscale, &[0]);
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let header = crc(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&header.to_be_bytes());
        assert_eq!(code(&bomb), "file");
    }

    /// CRC-32 of a PNG chunk.
    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
            })
        };
        !bytes.iter().fold(u32::MAX, step)
    }

    #[test]
    fn a_drawing_with_a_transparent_ground_is_read() {
        let code = qrcode::QrCode::new(URI).unwrap();
        let (side, quiet, scale) = (code.width(), 4, 5);
        let colors = code.to_colors();
        let whole = (side + 2 * quiet) * scale;
        let mut pixels = Vec::new();
        for y in 0..whole {
            for x in 0..whole {
                let module = |w: usize| (w / scale).checked_sub(quiet).filter(|m| *m < side);
                let dark = match (module(x), module(y)) {
                    (Some(x), Some(y)) => colors[y * side + x] == qrcode::Color::Dark,
                    _ => false,
                };
                pixels.extend([0, if dark { 255 } else { 0 }]);
            }
        }
        let png = encode(whole, whole, ColorType::GrayscaleAlpha, &pixels);
        assert_eq!(uri(&png).unwrap(), URI);
    }
}
