//! Pictures in, small pictures out: bytes as message and result, with progress.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits};
use skep_sdk::{Context, Failure, Output, Payload};

/// The longer side of a thumbnail, in pixels.
const SIDE: u32 = 256;

/// What a picture may take when it is decoded: a small file may unfold to
/// gigabytes, and should be refused before the sandbox runs out of memory.
const DECODED: u64 = 128 * 1024 * 1024;

/// Scales a JPEG or PNG picture to fit 256 x 256 pixels; the result is a PNG.
#[skep_sdk::listener]
fn thumbnail(msg: Payload, ctx: &Context) -> Result<Output, Failure> {
    ctx.progress(10, "decoding")?;
    let picture = decode(msg.data)?;

    ctx.progress(40, "scaling")?;
    let small = shrink(&picture);

    ctx.progress(80, "encoding")?;
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ImageFormat::Png)?;

    let sizes = format!(
        "{}x{} -> {}x{}",
        picture.width(),
        picture.height(),
        small.width(),
        small.height()
    );
    Ok(Output::new(
        sizes,
        Payload::new("image/png", png.into_inner()),
    ))
}

/// Decodes a picture, whatever its content type claims, and turns it the way its
/// camera was held. One that cannot be read now never can: `invalid`.
fn decode(data: Vec<u8>) -> Result<DynamicImage, Failure> {
    let upright = || -> ImageResult<DynamicImage> {
        let mut limits = Limits::default();
        limits.max_alloc = Some(DECODED);
        let mut reader = ImageReader::new(Cursor::new(data)).with_guessed_format()?;
        reader.limits(limits.clone());
        let mut decoder = reader.into_decoder()?;
        limits.reserve(decoder.total_bytes())?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    };
    upright().map_err(|error| {
        Failure::invalid(format_args!(
            "cannot read this as a JPEG or PNG picture: {error}"
        ))
    })
}

/// Fits a picture into the square and keeps its proportions. A smaller one stays
/// as it is.
fn shrink(picture: &DynamicImage) -> DynamicImage {
    if picture.width() <= SIDE && picture.height() <= SIDE {
        return picture.clone();
    }
    picture.resize(SIDE, SIDE, FilterType::Lanczos3)
}

skep_sdk::export!(thumbnail);
