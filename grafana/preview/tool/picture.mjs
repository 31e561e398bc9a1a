/**
 * Pictures small enough for a repository.
 *
 * Takes a PNG, gives a PNG with a palette; a coarser one where it would still be too large.
 */

import sharp from 'sharp';

const MOST_BYTES = 490_000;
const QUALITIES = [90, 70, 45, 20];

export async function shrink(picture) {
  let smaller = picture;
  for (const quality of QUALITIES) {
    // Dithering would strew dots over even ground, which neither looks well nor packs well.
    smaller = await sharp(picture)
      .png({ palette: true, quality, dither: 0, effort: 7, compressionLevel: 9 })
      .toBuffer();
    if (smaller.length <= MOST_BYTES) break;
  }
  return smaller;
}
