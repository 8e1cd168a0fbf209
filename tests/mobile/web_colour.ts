// The web app's colours on what a test wrote: profiles, and the files that carry them. Prints its results as JSON.
import { readFileSync, writeFileSync } from "node:fs";

import { exact } from "../../apps/web/src/measure/colour";
import { matrixProfile } from "../../apps/web/src/measure/profile";
import { embeddedProfile } from "../../apps/web/src/worker/embedded";

const folder = process.argv[2];
const asked = JSON.parse(readFileSync(`${folder}/asked.json`, "utf8"));
const colours = readFileSync(`${folder}/colours.rgba`);

/** Which way a profile is taken; where it is exact, all colours converted are written down. */
function converted(name: string): string {
  const profile = matrixProfile(new Uint8Array(readFileSync(`${folder}/${name}.icc`)));
  const way = profile && exact(profile);
  if (way === null) return "browser";
  const rgba = Uint8ClampedArray.from(colours);
  way.convert?.(rgba);
  writeFileSync(`${folder}/${name}.rgba`, rgba);
  return way.convert === null ? "same" : "exact";
}

async function embedded(name: string): Promise<string | null> {
  const found = await embeddedProfile(new Blob([readFileSync(`${folder}/${name}`)]));
  return found && Buffer.from(found).toString("base64");
}

const profiles = Object.fromEntries(asked.profiles.map((name: string) => [name, converted(name)]));
const files = Object.fromEntries(await Promise.all(asked.files.map(async (name: string) => [name, await embedded(name)])));
console.log(JSON.stringify({ profiles, files }));
