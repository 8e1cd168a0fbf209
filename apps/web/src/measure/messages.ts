/** What the page asks of the worker, and what it answers. */

import { Quality } from "./quality";
import { Pixels } from "./pixels";
import { Site } from "./site";

export type Request =
  | { kind: "open"; site: Site; base: string }
  | { kind: "selftest"; all: boolean } // with the photos that the phone does not keep
  | { kind: "photo"; blob: Blob } // a picture file
  | { kind: "frame"; frame: ImageBitmap } // of the camera, to be kept as a photo
  | { kind: "watch"; frame: ImageBitmap } // of the camera, to be measured alone
  | { kind: "classify"; picture: Pixels };

/** How a photo's own colours became sRGB: it has no profile, or as on the desk, or by the browser's conversion. */
export type Colours = "none" | "exact" | "browser";

/** A photo's centre square: its quality, the working picture of the model, and a JPEG of it without metadata. */
export interface Taken {
  quality: Quality;
  picture: Pixels;
  colours: Colours;
  jpeg: Blob;
}

export interface Classified {
  probabilities: Float32Array;
  maps: ClassMaps | null;
  milliseconds: number;
}

/** One map a class, raw and signed, one after the other: above zero is evidence for the class. */
export interface ClassMaps {
  width: number;
  height: number;
  data: Float32Array;
}

export interface SelfTest {
  good: boolean;
  photos: Tested[];
  colours: Colours; // the way that profiles of cameras go in this browser
  milliseconds: number;
}

/** A photo of the self-test: how far its answer, or its working picture in levels of 255, is from what it should be. */
export interface Tested {
  name: string;
  of: "answer" | "picture";
  difference: number | null; // null: not fetched, without a network
}

export interface Answers {
  open: null;
  selftest: SelfTest;
  photo: Taken;
  frame: Taken;
  watch: Quality;
  classify: Classified;
}
