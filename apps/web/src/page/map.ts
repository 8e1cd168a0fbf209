/** The class map over a photo: colours where it is above zero, with a slider for how much of it is seen. */

import { ClassMaps } from "../measure/messages";
import { Pixels } from "../measure/pixels";
import { element } from "./dom";
import { Texts } from "./texts";

// Of the colours, until the slider is moved; and in a referral.
const OPACITY = 0.5;

/** Figure `number` of a working picture; with the map of class `label` over it, where there is one that is not blank. */
export function figure(
  picture: Pixels,
  maps: ClassMaps | null,
  { label, name, number }: { label: number; name: string; number: number },
  texts: Texts,
): HTMLElement {
  const photo = plainPicture(picture);
  photo.setAttribute("role", "img");
  photo.setAttribute("aria-label", texts.say("answer_photo"));
  const layers = element("div", { class: "layers" }, photo);
  const over = colours(picture, maps, label);
  if (over === null) {
    return element("figure", {}, layers, element("figcaption", {}, texts.say("map_none", { label: name })));
  }
  over.setAttribute("aria-hidden", "true");
  over.style.opacity = String(OPACITY);
  layers.append(over);
  const slider = element("input", {
    type: "range", min: "0", max: "100", value: "50", id: `opacity-${number}`,
    input: (event) => (over.style.opacity = String(Number((event.target as HTMLInputElement).value) / 100)),
  });
  const caption = element("figcaption", {}, texts.say("map_caption", { label: name }));
  return element("figure", {}, layers, element("label", { for: `opacity-${number}` }, texts.say("map_opacity")), slider, caption);
}

/** A PNG of a working picture with the colours of class `label` over it; null where there are none. */
export async function mapPicture(picture: Pixels, maps: ClassMaps | null, label: number): Promise<Blob | null> {
  const over = colours(picture, maps, label);
  if (over === null) return null;
  const both = plainPicture(picture);
  const context = both.getContext("2d");
  if (context === null) return null;
  context.globalAlpha = OPACITY;
  context.drawImage(over, 0, 0);
  return new Promise((done) => both.toBlob(done, "image/png"));
}

function plainPicture(picture: Pixels): HTMLCanvasElement {
  const photo = canvas(picture.width, picture.height);
  paint(photo, (k, c) => (c === 3 ? 255 : picture.data[3 * k + c]));
  return photo;
}

/** The map of class `label` in colours, as large as the picture; null where there is none, or nothing above zero. */
function colours({ width, height }: Pixels, maps: ClassMaps | null, label: number): HTMLCanvasElement | null {
  if (maps === null) return null;
  const values = scaled(maps, label, width, height);
  const peak = values.reduce((most, one) => Math.max(most, one), 0);
  if (peak === 0) return null;
  const over = canvas(width, height);
  paint(over, (k, c) => coloured(Math.max(0, values[k]) / peak)[c]);
  return over;
}

function canvas(width: number, height: number): HTMLCanvasElement {
  const made = element("canvas");
  made.width = width;
  made.height = height;
  return made;
}

function paint(on: HTMLCanvasElement, value: (pixel: number, channel: number) => number): void {
  const context = on.getContext("2d");
  if (context === null) return;
  const image = context.createImageData(on.width, on.height);
  for (let k = 0; k < on.width * on.height; k++) {
    for (let c = 0; c < 4; c++) image.data[4 * k + c] = value(k, c);
  }
  context.putImageData(image, 0, 0);
}

/** Dark red to yellow, more of it seen where the value (0..1) is larger; distinct in any colour vision by lightness. */
function coloured(value: number): number[] {
  return [120 + 135 * value, 20 + 215 * value ** 1.5, 60 * (1 - value), 255 * Math.min(1, 1.6 * value)];
}

/** One class's map at the size of the picture, by bilinear interpolation between the middles of its cells. */
function scaled({ width, height, data }: ClassMaps, label: number, toWidth: number, toHeight: number): Float32Array {
  const out = new Float32Array(toWidth * toHeight);
  const start = label * width * height;
  for (let y = 0; y < toHeight; y++) {
    const [top, bottom, down] = between(((y + 0.5) * height) / toHeight - 0.5, height);
    for (let x = 0; x < toWidth; x++) {
      const [left, right, across] = between(((x + 0.5) * width) / toWidth - 0.5, width);
      const at = (row: number, column: number): number => data[start + row * width + column];
      const above = at(top, left) * (1 - across) + at(top, right) * across;
      const below = at(bottom, left) * (1 - across) + at(bottom, right) * across;
      out[y * toWidth + x] = above * (1 - down) + below * down;
    }
  }
  return out;
}

function between(place: number, size: number): [number, number, number] {
  const held = Math.min(Math.max(place, 0), size - 1);
  const low = Math.floor(held);
  return [low, Math.min(low + 1, size - 1), held - low];
}
